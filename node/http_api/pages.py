"""Pages: many records in parts that fit in memory, whatever their size."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from itertools import islice
from typing import Final

from node.store.contract import Store, StoredRecord

PAGE_RECORDS_MAX: Final = 500
PAGE_BYTES_AIM: Final = 2 * 2**20
"""A page of ordinary records has 500 of them and a few hundred KiB; where they are large, a page soon has fewer."""

_FIRST_PAGE_RECORDS: Final = 64
"""Nothing is known of their size yet: 4 MiB at most."""


async def stored_pages(store: Store, ids: Iterable[str]) -> AsyncGenerator[list[StoredRecord], None]:
    """The records of these ids, all of which are held, in their order."""
    size, left = _FIRST_PAGE_RECORDS, iter(ids)
    while wanted := list(islice(left, size)):
        stored = await store.records(wanted)
        page = [stored[record_id] for record_id in wanted]
        yield page
        size = next_size(size, [len(it.signed.record.canonical) for it in page])


def next_size(size: int, bodies_bytes: Sequence[int]) -> int:
    """How many records like these make a page; at most twice as many as before."""
    body_bytes = sum(bodies_bytes) // len(bodies_bytes)
    return max(1, min(2 * size, PAGE_RECORDS_MAX, PAGE_BYTES_AIM // body_bytes))
