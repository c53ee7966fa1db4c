"""The memory of a client: the heads that a node showed it, so that a node that goes back in time is noticed.

Signatures cannot tell an old head from a new one. Records are never removed, so a node that showed a record once can
show it for ever. A head may still give way to an older one: a record that arrived late changes what replay accepts. So
an older head alone proves nothing. But the history must then hold the record that was shown before, and replay, done
here, must agree.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from node.client.claim import FINAL, Claim
from node.client.errors import HEAD_LOST, Untrusted
from node.client.history import History
from protocol.records.record import Record

LABELS_MAX: Final = 10_000
"""Labels remembered, in a few megabytes. Past this, the label that was asked for least recently is forgotten."""


class Memory:
    """The newest head that the node showed of each label."""

    def __init__(self, labels_max: int = LABELS_MAX) -> None:
        self._labels_max = labels_max
        self._heads: OrderedDict[tuple[str, str], Claim] = OrderedDict()

    def __len__(self) -> int:
        return len(self._heads)

    def head(self, domain: str, label: str) -> Claim | None:
        """The newest head that was shown; None if nothing was shown."""
        return self._heads.get((domain, label))

    def note(self, claim: Claim) -> None:
        """The node showed this head, or accepted it from us. An older head than the newest changes nothing."""
        key = (claim.domain, claim.label)
        before = self._heads.get(key)
        if before is None or _order(before) <= _order(claim):
            self._heads[key] = claim
        self._heads.move_to_end(key)
        if len(self._heads) > self._labels_max:
            self._heads.popitem(last=False)

    def is_surprised(self, before: Claim | None, head: Claim | None) -> bool:
        """Whether the history has to explain this head, because `before` was shown before and is newer.

        A final record is followed for ever. So after a final head, every head that does not name it needs an
        explanation.
        """
        if before is None or (head is not None and head.id == before.id):
            return False
        if head is None or _order(head) < _order(before):
            return True
        return before.certainty == FINAL and head.prev != before.id

    def check(self, before: Claim, head: Claim | None, history: History) -> None:
        """Check that the history explains how this head follows the one before. Then remember the history's head.

        Raises:
            Untrusted: `head_lost`.
        """
        for shown in (before, head):
            if shown is not None and shown.id not in history:
                raise lost(shown, "its history does not hold that record")
        if before.certainty == FINAL and before.id not in history.ancestors():
            raise lost(before, "the head does not follow that final record")
        key = (history.domain, history.label)
        for claim in history.claims:
            if claim.id == history.head:
                self._heads[key] = Claim(claim.signed, history.certainty)

    def check_chain(self, before: Claim, chain: Iterable[Record]) -> None:
        """Check that a proven chain holds the head before, if that was final. Raises: Untrusted: `head_lost`."""
        if before.certainty == FINAL and all(record.id != before.id for record in chain):
            raise lost(before, "the chain of its proof does not hold that final record")


def _order(claim: Claim) -> tuple[int, str]:
    return claim.signed.record.order_key


def lost(claim: Claim, how: str) -> Untrusted:
    """The error for a node that no longer shows what it showed. `how` ends a sentence."""
    return Untrusted(HEAD_LOST, f"the node showed {claim.id} as the head of {claim.label}, and now {how}")
