"""What the Plumtree paper (SRDS 2007) shows for 10,000 nodes over HyParView with an active view of 5.

Ranges are values read off a plot, lowest and highest; a failure is noticed there only after each broadcast.
"""

from typing import Final

import msgspec

Range = tuple[float, float]


class Stable(msgspec.Struct, frozen=True):
    """Broadcasts while nobody fails; messages are those of cycle 100, where the paper gives them."""

    redundancy: float
    last_hop: Range
    payload: int
    control: int


FLOOD: Final = "flood"
ONE_SENDER: Final = "one sender"
MANY_SENDERS: Final = "many senders"
OPTIMISED: Final = "many senders, optimised"

STABLE: Final = {
    FLOOD: Stable(3.0, (9, 9), 39_984, 0),
    ONE_SENDER: Stable(0.0, (9, 10), 9_999, 29_987),
    MANY_SENDERS: Stable(0.0, (50, 75), 9_999, 29_990),
    OPTIMISED: Stable(0.0, (17, 17), 9_999, 38_976),
}

FIRST_AFTER_FAILURE: Final[dict[float, Range]] = {
    0.4: (0.99, 0.99),
    0.5: (0.95, 0.95),
    0.6: (0.56, 0.84),
    0.7: (0.15, 0.31),
    0.8: (0.0, 0.0),
}
"""Share of nodes that fail at once: share of the living that the next message reaches."""

CYCLES_TO_HEAL: Final[dict[float, Range]] = {0.5: (1, 1), 0.6: (1, 1), 0.7: (1, 1), 0.8: (1, 3)}

DRIP_SHARE: Final = 0.005
"""Of all nodes at the beginning, those that fail in each cycle."""

DRIP_RELIABILITY: Final = 1.0
