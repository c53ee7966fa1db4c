"""What the labels of a witnessed domain show that begin with `@`, and have no slots: those of the policy and of
receipts.
"""

from typing import Final

import msgspec

from protocol.records.replay import State, Tip

_NOBODY: Final = frozenset[str]()


class Shown(msgspec.Struct):
    """A label that begins with `@`: its head, and the order key of its newest record.

    `rank` is what makes a record the head: the largest counts.
    """

    tip: Tip | None = None
    rank: tuple[int, str] = (0, "")
    newest: tuple[int, str] = (0, "")
    contested: bool = False

    @property
    def state(self) -> State:
        return State(self.tip, keys_of(self.tip), self.newest, self.contested)


def keys_of(tip: Tip | None) -> frozenset[str]:
    """The keys that the head of a label names."""
    if tip is None:
        return _NOBODY
    return frozenset((tip.signedby,) if tip.newowner is None else (tip.signedby, tip.newowner))
