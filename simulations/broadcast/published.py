"""The figures of the Plumtree paper (SRDS 2007) for 10,000 nodes over HyParView with an active view of 5.

Ranges are the lowest and the highest value that we read off a plot. In the paper, nodes notice failures only after each
broadcast.
"""

from typing import Final

import msgspec

Range = tuple[float, float]


class PublishedFigures(msgspec.Struct, frozen=True):
    """Broadcasts while no node fails. The numbers of messages are those that the paper gives for cycle 100."""

    redundancy: float
    last_hop: Range
    payload: int
    control: int


FLOOD: Final = "flood"
ONE_SENDER: Final = "one sender"
MANY_SENDERS: Final = "many senders"
OPTIMISED: Final = "many senders, optimised"

STABLE: Final = {
    FLOOD: PublishedFigures(3.0, (9, 9), 39_984, 0),
    ONE_SENDER: PublishedFigures(0.0, (9, 10), 9_999, 29_987),
    MANY_SENDERS: PublishedFigures(0.0, (50, 75), 9_999, 29_990),
    OPTIMISED: PublishedFigures(0.0, (17, 17), 9_999, 38_976),
}

FIRST_AFTER_FAILURE: Final[dict[float, Range]] = {
    0.4: (0.99, 0.99),
    0.5: (0.95, 0.95),
    0.6: (0.56, 0.84),
    0.7: (0.15, 0.31),
    0.8: (0.0, 0.0),
}
"""By the share of nodes that fail at once: the share of the living nodes that the next message reaches."""

CYCLES_TO_HEAL: Final[dict[float, Range]] = {0.5: (1, 1), 0.6: (1, 1), 0.7: (1, 1), 0.8: (1, 3)}
"""By the share of nodes that fail at once: the cycles until broadcasts reach all living nodes again."""

DRIP_SHARE: Final = 0.005
"""The share of the first number of nodes that fails in each cycle."""

DRIP_RELIABILITY: Final = 1.0
"""The share of the living nodes that broadcasts reach then."""
