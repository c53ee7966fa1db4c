"""Seeds that once found a fault. docs/simulations.md tells what happened in most of them.

`dnarc simulate swarm --found` plays them, and so does `make simulate`.
"""

from typing import Final

FOUND: Final = (
    1,
    16,
    *(22, 79, 128),  # liars among the witnesses: one backdates, one names records, one tells two halves two things
    812,  # the only node that held the policy of a witnessed domain loses it
    9_131_507,  # a domain is dropped while a decision reads the store
    9_310_411,  # what the policy touched is forgotten before it is on disk
    156_820_728,
    156_820_748,
    170_000_082,
    178_036_647,
    270_000_033,
    270_000_366,
    400_000_530,
)
