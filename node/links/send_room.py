"""Send room: the memory that the frames of all links take together while they wait for their sockets.

A peer that asks and does not read leaves its answers in the memory of this node. One slow link is bounded by its
window. Hundreds of them are bounded here. All links share one budget, of which strangers get three quarters, and one
address of strangers a quarter. A link that leaves `FEW_BYTES` unread while the budget is used up gets nothing more: it
is not read, no records are loaded for it, and live records wait as ids. A link whose peer reads is never held up.
"""

from typing import Final

from node.fairness.byte_budget import ByteBudget
from protocol.link.messages import FRAME_BYTES_MAX

SEND_BYTES_MAX: Final = 64 * 2**20
"""The budget of all links of a node."""

FEW_BYTES: Final = 65_536
"""What each link may hold, whatever the others do: one record of the largest size."""

_PART: Final = 4
"""A link may load a quarter of the bytes that are left of its share. So links that all ask at once find something
left."""


def send_budget(bytes_max: int = SEND_BYTES_MAX) -> ByteBudget:
    """The budget that all links of a node share."""
    return ByteBudget(bytes_max, 2 * FRAME_BYTES_MAX, "too much waits to be sent over links already")


class SendRoom:
    """The room of one link. `held_bytes`: what it holds of the budget."""

    def __init__(self, budget: ByteBudget, source: str | None) -> None:
        """`source` is the address of a stranger, None for a listed peer."""
        self.held_bytes = 0
        self._budget = budget
        self._source = source

    @property
    def is_full(self) -> bool:
        """Whether this link gets nothing more before its peer has read."""
        return self.held_bytes > FEW_BYTES and self._budget.is_full_for(self._source)

    @property
    def load_bytes(self) -> int:
        """The bytes of records that may be loaded at once."""
        return max(FEW_BYTES, self._budget.left_bytes(self._source) // _PART)

    def add(self, size_bytes: int) -> None:
        """Hold this many bytes more; a negative size gives bytes back."""
        self.held_bytes += size_bytes
        self._budget.add(self._source, size_bytes)

    def move(self, source: str | None) -> None:
        """From now on the link counts under this source: its peer has proved its key."""
        held_bytes = self.held_bytes
        self.add(-held_bytes)
        self._source = source
        self.add(held_bytes)

    def close(self) -> None:
        """Give everything back."""
        self.add(-self.held_bytes)
