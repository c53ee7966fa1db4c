"""What a node says of erased records: that they are erased, why, since when, and who owns the label."""

from collections.abc import Iterable, Sequence
from typing import Final, Self

from node.removal.work import RemovalWork
from node.store.contract import Store
from node.store.removals import Erasure
from protocol.errors import Code, ProtocolError

ERASED_HEADER: Final = "Dnarc-Erased"
"""The beginnings of the ids of records that were asked for and are erased here, with commas between them."""

_DIGITS: Final = 16
"""Digits of an id in that header: some proxies take 4 kB of headers, and 100 ids may be asked for."""

_IDS_AT_ONCE: Final = 1_000
"""As many as the store takes at once."""


def spell_erased(ids: Iterable[str]) -> str:
    """The value of `ERASED_HEADER` for these ids."""
    return ",".join(record_id[:_DIGITS] for record_id in ids)


def read_erased(value: str, ids: Iterable[str]) -> frozenset[str]:
    """The ids, of those that were asked for, that this value of `ERASED_HEADER` names."""
    beginnings = frozenset(value.split(","))
    return frozenset(record_id for record_id in ids if record_id[:_DIGITS] in beginnings)


class Erased:
    """Answers questions about erased records. As long as nothing was ever erased, no answer needs the store."""

    def __init__(self, store: Store, *, is_any: bool) -> None:
        """`is_any`: whether anything was ever taken down in this store."""
        self.is_any = is_any
        self.asked = 0
        """How many erased records were asked for by their ids, and so not given."""
        self._store = store

    @classmethod
    async def load(cls, store: Store, work: RemovalWork) -> Self:
        erased = cls(store, is_any=bool(await store.removals.list(None, 1)))
        work.beginnings.append(erased._note)
        return erased

    async def among(self, ids: Sequence[str]) -> dict[str, Erasure]:
        """Why the erased records among these ids are erased, by id."""
        erased: dict[str, Erasure] = {}
        for begin in range(0, len(ids) if self.is_any else 0, _IDS_AT_ONCE):
            erased |= await self._store.removals.erasures(ids[begin : begin + _IDS_AT_ONCE])
        return erased

    async def error(self, record_id: str, owner: str | None = None) -> ProtocolError:
        """The error in the place of this erased record. `owner`: the key that owns the label, if that is asked for."""
        self.asked += 1
        erasure = (await self.among([record_id])).get(record_id)
        facts: dict[str, object] = {"id": record_id}
        if erasure is not None:
            facts |= {"reason": erasure.reason, "erased": erasure.time}
        if owner is not None:
            facts["owner"] = owner
        detail = "the operator of this node erased the record" + (
            f": {erasure.reason}" if erasure is not None and erasure.reason else ""
        )
        return ProtocolError(Code.ERASED, detail, **facts)

    def _note(self) -> None:
        self.is_any = True
