"""What every store must do with heads: which they are, in what order, page by page."""

import asyncio

import pytest

from node.store.contract import Batch, LabelKey, ShownRecord, Store
from protocol.records.record import SignedRecord
from protocol.records.replay import replay
from protocol.signing import SigningKey
from tests.history import ALICE, BOB, CAROL
from tests.node.store.store_batches import Contract, batch_of, claim, key_of, offer, stored

PAGE = 7
"""Heads of a page, in most tests."""

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


async def owner_pages(store: Store, owner: SigningKey, domain: str | None, limit: int) -> list[list[SignedRecord]]:
    pages: list[list[SignedRecord]] = []
    after: LabelKey | None = None
    while page := await store.heads_of_owner(owner.public, domain, after, 0, limit):
        pages.append(page)
        after = key_of(page[-1].record)
    return pages


class HeadsContract(Contract):
    async def test_heads_are_ordered_by_the_bytes_of_the_domain_then_of_the_label(self, store: Store) -> None:
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

    async def test_heads_that_are_asked_for_together_come_each_to_its_own_caller(self, store: Store) -> None:
        """A store may read them with one statement."""
        entries = {(domain, label): claim(label, domain=domain) for domain in ("a", "b") for label in LABELS}
        await store.commit(batch_of(list(entries.values())))
        keys = [*entries, ("a", "absent"), ("absent", "a"), ("b", "a"), ("b", "a")]

        heads = await asyncio.gather(*(store.head(*key) for key in keys))

        shown = {key: ShownRecord(it.record.id, it.signature, it.record.canonical) for key, it in entries.items()}
        assert heads == [shown.get(key) for key in keys]

    async def test_a_page_holds_the_number_of_heads_that_was_asked_for(self, store: Store) -> None:
        await store.commit(batch_of([claim(f"{number}") for number in range(7)]))

        assert [len(page) for page in await all_pages(store, "test", 0, 3)] == [3, 3, 1]

    async def test_heads_of_one_domain_end_with_the_domain(self, store: Store) -> None:
        await store.commit(batch_of([claim("x", domain="a"), claim("y", domain="b"), claim("z", domain="c")]))

        assert await store.heads("b", None, 0, 10) == [claim("y", domain="b")]
        assert await store.heads("b", ("b", "y"), 0, 10) == []
        assert await store.heads("absent", None, 0, 10) == []

    async def test_heads_of_an_owner_come_in_order_page_by_page(self, store: Store) -> None:
        owned = [claim(label, domain=domain) for domain in ("a", "b") for label in LABELS]
        others = [claim(label, domain=domain, by=BOB) for domain in ("a", "b") for label in ("aa", "z")]
        await store.commit(batch_of([*owned, *others][::-1]))

        pages = await owner_pages(store, ALICE, None, PAGE)
        in_one_domain = await owner_pages(store, ALICE, "b", PAGE)

        assert [head for page in pages for head in page] == owned
        assert [len(page) for page in pages] == [PAGE] * (len(owned) // PAGE) + [len(owned) % PAGE]
        assert [head for page in in_one_domain for head in page] == owned[len(LABELS) :]
        assert await store.heads_of_owner(CAROL.public, None, None, 0, PAGE) == []

    async def test_a_label_is_its_owners_until_the_offer_is_accepted(self, store: Store) -> None:
        founded, offered, accepted = claim(at=1), offer(to=BOB, at=2), claim(by=BOB, at=3)

        async def owners() -> list[bool]:
            return [bool(await store.heads_of_owner(key.public, None, None, 0, PAGE)) for key in (ALICE, BOB)]

        await store.commit(batch_of([founded, offered]))
        before = await owners()
        states = await store.states([key_of(founded.record)])
        await store.commit(batch_of([accepted], states))
        after = await owners()

        assert (before, after) == ([True, False], [False, True])

    async def test_a_founder_is_counted_by_domain_and_stays_the_founder_of_what_it_gave_away(
        self, store: Store
    ) -> None:
        sold = [claim("sold", at=1), offer("sold", to=BOB, at=2), claim("sold", by=BOB, at=3)]
        kept, elsewhere, theirs = claim("kept"), claim("kept", domain="other"), claim("theirs", by=BOB)
        keys = [("test", ALICE.public), ("test", BOB.public), ("other", ALICE.public), ("other", BOB.public)]
        await store.commit(batch_of([kept, elsewhere, theirs, *sold[:2]]))
        states = await store.states([key_of(sold[0].record)])
        before = await store.labels_founded(keys)

        await store.commit(batch_of(sold[2:], states))
        after = await store.labels_founded(keys)

        assert before == after == dict(zip(keys, (2, 1, 1, 0), strict=True))

    async def test_a_label_that_comes_home_to_its_founder_counts_once(self, store: Store) -> None:
        there = [claim(at=1), offer(to=BOB, at=2), claim(by=BOB, at=3)]
        back = [offer(by=BOB, to=ALICE, at=4), claim(by=ALICE, at=5)]
        await store.commit(batch_of(there))

        await store.commit(batch_of(back, await store.states([key_of(there[0].record)])))

        assert await store.labels_founded([("test", ALICE.public)]) == {("test", ALICE.public): 1}

    async def test_an_older_founding_by_another_key_takes_the_place_of_the_first(self, store: Store) -> None:
        first, older = claim(at=2), claim(by=BOB, at=1)
        await store.commit(batch_of([first]))
        change = replay([first.record, older.record])
        late = Batch(
            records=[stored(older)],
            verdicts={first.record.id: change.verdict(first.record)},
            states={key_of(first.record): change.state},
        )

        await store.commit(late)
        keys = [("test", ALICE.public), ("test", BOB.public)]

        assert await store.labels_founded(keys) == dict(zip(keys, (0, 1), strict=True))

    async def test_heads_of_an_owner_since_a_timestamp_are_those_of_that_second_or_later(self, store: Store) -> None:
        heads = [claim(str(number), at=number) for number in range(1, 7)]
        await store.commit(batch_of(heads))

        assert await store.heads_of_owner(ALICE.public, None, None, 4, PAGE) == heads[3:]

    async def test_heads_since_a_timestamp_include_that_second(self, store: Store) -> None:
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
    async def test_a_prefix_selects_exactly_the_labels_that_begin_with_it(
        self, store: Store, prefix: str, expected: list[str]
    ) -> None:
        await store.commit(batch_of([claim(label, domain=domain) for domain in ("a", "b", "c") for label in LABELS]))

        found = [head.record.label for head in await store.heads("b", None, 0, 100, prefix)]
        since = [head.record.label for head in await store.heads("b", None, 1, 100, prefix)]
        paged = await all_pages(store, "b", 0, 1, prefix)

        assert found == since == expected
        assert [head.record.label for page in paged for head in page] == expected
