"""Pages: many records in parts that fit in memory, whatever the size of a record."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from itertools import islice
from typing import Final

from node.store.contract import Store, StoredRecord

PAGE_RECORDS_MAX: Final = 500
PAGE_BYTES_AIM: Final = 2 * 2**20
"""A page of ordinary records has 500 records and a few hundred KiB. A page of large records has fewer records."""

_FIRST_PAGE_RECORDS: Final = 64
"""The first page is small, because the size of the records is not known yet: 4 MiB at most."""


async def stored_pages(store: Store, ids: Iterable[str]) -> AsyncGenerator[list[StoredRecord], None]:
    """The records of these ids, in their order. The store must hold all of them."""
    size, left = _FIRST_PAGE_RECORDS, iter(ids)
    while wanted := list(islice(left, size)):
        stored = await store.records(wanted)
        page = [stored[record_id] for record_id in wanted]
        yield page
        size = next_size(size, [len(it.signed.record.canonical) for it in page])


def next_size(size: int, bodies_bytes: Sequence[int]) -> int:
    """How many records of this average size make a page: at most twice as many as the last page had."""
    body_bytes = sum(bodies_bytes) // len(bodies_bytes)
    return max(1, min(2 * size, PAGE_RECORDS_MAX, PAGE_BYTES_AIM // body_bytes))
