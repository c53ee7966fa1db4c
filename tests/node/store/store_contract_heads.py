"""What every store must do with heads: which they are, in what order, page by page."""

import pytest

from node.store.contract import LabelKey, Store
from protocol.records.record import SignedRecord
from tests.node.store.store_batches import Contract, batch_of, claim, key_of

LABELS = ["a", "ab", "ab\U0010ffff", "ab\U0010ffff!", "ac", "\ud7ff", "\ud7ffz", "\ue000", "\U0010ffff", "\U0010ffff!"]
"""In the order of their bytes; the highest character there is, and those beside the surrogates, among them."""


async def all_pages(
    store: Store, domain: str | None, since: int, limit: int, prefix: str = ""
) -> list[list[SignedRecord]]:
    pages: list[list[SignedRecord]] = []
    after: LabelKey | None = None
    while page := await store.heads(domain, after, since, limit, prefix):
        pages.append(page)
        after = key_of(page[-1].record)
    return pages


class HeadsContract(Contract):
    async def test_heads_come_in_order_of_the_bytes_of_domain_then_label(self, store: Store) -> None:
        """UTF-16 would put the flower before U+FFFD, and a collation would mix the capitals in."""
        labels = [
            "Z",
            "a",
            "a b",
            "ab",
            "e\u0301",
            "\u00e9",
            "\u0645",
            "\u2028",
            "\ufffd",
            "\U0001f33c",
            "\U0001f33c\u200d",
        ]
        heads = [claim(label, domain=domain) for domain in ("a", "a-b", "a.b", "b") for label in labels]
        await store.commit(batch_of(heads[::-1]))

        assert [key_of(head.record) for head in await store.heads(None, None, 0, 100)] == [
            key_of(head.record) for head in heads
        ]
        for limit in (1, 3, 11, 44):
            assert [head for page in await all_pages(store, None, 0, limit) for head in page] == heads

    async def test_a_page_holds_as_many_heads_as_asked_for(self, store: Store) -> None:
        await store.commit(batch_of([claim(f"{number}") for number in range(7)]))

        assert [len(page) for page in await all_pages(store, "test", 0, 3)] == [3, 3, 1]

    async def test_heads_of_one_domain_end_where_it_ends(self, store: Store) -> None:
        await store.commit(batch_of([claim("x", domain="a"), claim("y", domain="b"), claim("z", domain="c")]))

        assert await store.heads("b", None, 0, 10) == [claim("y", domain="b")]
        assert await store.heads("b", ("b", "y"), 0, 10) == []
        assert await store.heads("absent", None, 0, 10) == []

    async def test_heads_since_a_timestamp_are_those_of_that_second_or_later(self, store: Store) -> None:
        heads = [claim(str(number), at=number) for number in range(1, 7)]
        await store.commit(batch_of(heads))

        assert await store.heads(None, None, 4, 10) == heads[3:]
        assert await store.heads("test", None, 4, 2) == heads[3:5]
        assert await store.heads("test", ("test", "5"), 4, 2) == heads[5:]

    @pytest.mark.parametrize(
        ("prefix", "expected"),
        [
            ("", LABELS),
            ("a", ["a", "ab", "ab\U0010ffff", "ab\U0010ffff!", "ac"]),
            ("ab", ["ab", "ab\U0010ffff", "ab\U0010ffff!"]),
            ("ab\U0010ffff", ["ab\U0010ffff", "ab\U0010ffff!"]),
            ("\ud7ff", ["\ud7ff", "\ud7ffz"]),
            ("\U0010ffff", ["\U0010ffff", "\U0010ffff!"]),
            ("A", []),
            ("%", []),
        ],
    )
    async def test_heads_that_begin_with_a_prefix_are_those_and_no_others(
        self, store: Store, prefix: str, expected: list[str]
    ) -> None:
        await store.commit(batch_of([claim(label, domain=domain) for domain in ("a", "b", "c") for label in LABELS]))

        found = [head.record.label for head in await store.heads("b", None, 0, 100, prefix)]
        since = [head.record.label for head in await store.heads("b", None, 1, 100, prefix)]
        paged = await all_pages(store, "b", 0, 1, prefix)

        assert found == since == expected
        assert [head.record.label for page in paged for head in page] == expected
