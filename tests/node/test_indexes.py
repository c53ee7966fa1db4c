"""Indexes are built from the store page by page."""

import tracemalloc
from collections.abc import AsyncIterator
from random import Random
from typing import Any, cast

from node.indexes import Indexes
from node.store.contract import Store
from protocol.sets.index import Index, pack_key

PAGES = 40
PAGE_KEYS = 1_000


class NothingDropped:
    async def dropped(self) -> frozenset[str]:
        return frozenset()


class PagesOnly:
    """The part of a store that `load` reads: pages of keys, of two domains by turns."""

    removals = NothingDropped()

    async def keys(self) -> AsyncIterator[tuple[str, list[bytes]]]:
        for number in range(PAGES):
            yield "ab"[number % 2], page(number)
        yield "a", page(0)
        yield "b", page(0)


def page(number: int) -> list[bytes]:
    random = Random(number)
    return [pack_key(1_700_000_000 + number, random.randbytes(32)) for _ in range(PAGE_KEYS)]


async def load() -> Indexes:
    return await Indexes.load(cast(Store, cast(Any, PagesOnly())))


async def test_loading_takes_little_more_memory_than_the_indexes() -> None:
    """The process would keep the memory of lists of all keys, which take three times as much, until it ends."""
    tracemalloc.start()

    indexes = await load()

    held_bytes, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(len(indexes.get(domain) or ()) for domain in "ab") == (PAGES + 1) * PAGE_KEYS
    assert most_bytes < 1.5 * held_bytes


async def test_loaded_indexes_hold_every_key_of_every_page_once() -> None:
    indexes = await load()

    expected = {
        "a": sorted(key for number in range(0, PAGES, 2) for key in page(number)),
        "b": sorted(key for number in (0, *range(1, PAGES, 2)) for key in page(number)),
    }
    assert {domain: list(indexes.get(domain) or ()) for domain in indexes.domains()} == expected
    for domain, held in expected.items():
        assert indexes.summary(domain)["fingerprint"] == Index(held).fingerprint().hex()
