"""Chains: which receipts of a witness are counted now, and which parts of a domain they need.

Receipts that come before the receipt that they follow wait for it. When it comes, all of them become sound together: up
to 1 MiB of receipts of each witness, which name 13,000 records. To count all of them at once would hold the event loop.
So some are counted now, and the others are *due*: they stay among the waiting receipts, in memory and in the store, and
are counted a little later.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from protocol.witness.recall import Wanted
from protocol.witness.receipt import Receipt
from protocol.witness.testimony import Place, Testimony

NAMED_MAX: Final = 800
"""Ids in the waiting receipts that are counted at once: as many as one receipt can name."""

NAMED_BESIDE_MAX: Final = 100
"""The same, for those that become sound by receipts that come: these are work of their own."""


class Chains:
    """What receipts need in memory. `countable`: their ids, and those of the receipts that wait and are counted too."""

    def __init__(self, testimony: Testimony, wanted: Wanted, named_max: int) -> None:
        """Parts are added to `wanted`. `named_max`: ids in the receipts that wait."""
        self.countable: set[str] = set()
        self._testimony = testimony
        self._wanted = wanted
        self._named_left = named_max

    def add(self, receipts: Iterable[Receipt], due: Iterable[Place]) -> None:
        """These receipts come, and those that wait at these places are due."""
        by_place: dict[Place, list[Receipt]] = defaultdict(list)
        becoming_sound: list[Receipt] = []
        for receipt in receipts:
            by_place[receipt.witness, receipt.prev].append(receipt)
            self.countable.add(receipt.id)  # it may be added before the one that makes it sound
            self._need(receipt)
            if self._testimony.is_sound((receipt.witness, receipt.prev)):
                becoming_sound.append(receipt)
        for place in due:
            if self._named_left > 0:
                self._wanted.places[place] = None
                becoming_sound += self._take(self._testimony.due_at(place))
        while becoming_sound:
            receipt = becoming_sound.pop()
            after = (receipt.witness, receipt.id)
            waiting = [it for it in self._testimony.waiting_on(after) if it.at_ms > receipt.at_ms]
            becoming_sound += [*by_place.pop(after, ()), *self._take(waiting)]

    def _take(self, waiting: Iterable[Receipt]) -> list[Receipt]:
        """Those of these receipts, which wait and become sound, that are counted too."""
        taken = []
        for receipt in waiting:
            if len(named := receipt.named()) <= self._named_left:
                self._named_left -= max(1, len(named))
                self.countable.add(receipt.id)
                self._need(receipt)
                taken.append(receipt)
        return taken

    def _need(self, receipt: Receipt) -> None:
        """Want what this receipt names, and its places: where it stands, and what may stand after it."""
        self._wanted.ids |= dict.fromkeys(receipt.named())
        self._wanted.places[receipt.witness, receipt.prev] = None
        if self._testimony.waiting[receipt.witness] > 0:  # else nobody can stand after this receipt
            self._wanted.places[receipt.witness, receipt.id] = None
