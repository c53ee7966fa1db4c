"""Pages: many records in parts of few bytes, whatever the size of a record and whoever wrote the records.

An answer holds its page as long as its client does not read. So a page is bounded by bytes, and the store stops reading
where they are reached: a guess from the sizes of earlier records could be led astray by whoever wrote them.
"""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from itertools import islice
from typing import Final

from node.store.contract import Store, StoredRecord
from protocol.records.record import SignedRecord

PAGE_RECORDS_MAX: Final = 500

PAGE_BYTES_MAX: Final = 128 * 2**10
"""Bytes of the records of a page; a page of heads has up to one record more. A page costs a change of threads, about
0.1 ms, so larger pages save little."""

_FIRST_PAGE_RECORDS: Final = 64


async def stored_pages(
    store: Store, ids: Iterable[str], records_max: int = PAGE_RECORDS_MAX
) -> AsyncGenerator[list[StoredRecord], None]:
    """The records of these ids, in order and in pages of this size, without those that were dropped meanwhile."""
    left = iter(ids)
    wanted = list(islice(left, _FIRST_PAGE_RECORDS))
    while wanted:
        stored = await store.records(wanted, PAGE_BYTES_MAX)
        page = [stored[record_id] for record_id in wanted if record_id in stored]
        if page:
            yield page
        wanted = wanted[wanted.index(page[-1].signed.record.id) + 1 :] if page else []
        size = min(records_max, 2 * len(page) or _FIRST_PAGE_RECORDS)
        wanted += islice(left, max(0, size - len(wanted)))


async def signed_pages(store: Store, ids: Iterable[str]) -> AsyncGenerator[list[SignedRecord], None]:
    """The records of these ids, in their order, without those that are erased or dropped."""
    async with aclosing(stored_pages(store, ids)) as pages:
        async for page in pages:
            if shown := [stored.signed for stored in page if not stored.signed.record.is_erased]:
                yield shown
