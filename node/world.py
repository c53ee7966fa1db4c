"""What touches the world and is therefore handed in: the clock and chance.

A simulation hands in others and runs the same node.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random, SystemRandom


@dataclass(frozen=True)
class World:
    """`now_s` is the wall clock in seconds since the Unix epoch; `random` spreads retries, and guards nothing
    secret.
    """

    now_s: Callable[[], float] = time.time
    random: Random = field(default_factory=SystemRandom)
