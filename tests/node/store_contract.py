"""What every store must do: subclass `StoreContract` in the tests of a store and give it an `open_store` fixture.

The batches are made by the protocol itself, so that states, verdicts and events are such as really occur.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import groupby
from typing import Any

import msgspec
import pytest

from node.store import Batch, Cursor, LabelKey, Outline, Peer, Selection, Store, StoredEvent, StoredRecord
from protocol.change import Change, Event, EventType, append, insert
from protocol.index import pack_key
from protocol.record import Record, SignedRecord
from protocol.replay import EMPTY, State, Verdict
from protocol.signing import SigningKey
from tests import history
from tests.history import ALICE, BOB, CAROL, NOWHERE, signed

OpenStore = Callable[[str], AbstractAsyncContextManager[Store]]
"""Opens the store of that name, which is empty at first and keeps what it was given while the test runs."""

RECEIVED = 1_700_000_000


def claim(
    label: str = "garden", *, domain: str = "test", by: SigningKey = ALICE, at: int = 1, **more: Any
) -> SignedRecord:
    return signed(history.claim(label, by, at, domain=domain, **more))


def offer(label: str = "garden", *, to: SigningKey, by: SigningKey = ALICE, at: int = 1) -> SignedRecord:
    return claim(label, by=by, at=at, newowner=to.public)


def stored(entry: SignedRecord, verdict: Verdict = Verdict.FOUNDED) -> StoredRecord:
    return StoredRecord(entry, verdict, RECEIVED)


def key_of(record: Record) -> LabelKey:
    return (record.domain, record.label)


def batch_of(records: Sequence[SignedRecord], states: dict[LabelKey, State] | None = None) -> Batch:
    """A batch as the node would make it, of records that are new and newer than all of their labels."""
    batch = Batch()
    for key, group in groupby(records, key=lambda entry: key_of(entry.record)):
        entries = list(group)
        state = {**(states or {}), **batch.states}.get(key, EMPTY)
        change = append(state, [entry.record for entry in entries])
        batch.states[key] = change.state
        batch.events += change.events
        batch.records += [stored(entry, change.verdicts[entry.record.id]) for entry in entries]
    return batch


async def all_keys(store: Store) -> dict[str, list[bytes]]:
    result: dict[str, list[bytes]] = {}
    async for domain, keys in store.keys():
        result.setdefault(domain, []).extend(keys)
    return {domain: sorted(keys) for domain, keys in result.items()}


async def all_pages(store: Store, domain: str | None, since: int, limit: int) -> list[list[SignedRecord]]:
    pages: list[list[SignedRecord]] = []
    after: LabelKey | None = None
    while page := await store.heads(domain, after, since, limit):
        pages.append(page)
        after = key_of(page[-1].record)
    return pages


class StoreContract:
    """The tests. Each opens stores through `open_store`."""

    @pytest.fixture
    async def store(self, open_store: OpenStore) -> AsyncIterator[Store]:
        async with open_store("one") as store:
            yield store

    async def test_a_new_store_holds_nothing(self, store: Store) -> None:
        assert await store.states([("test", "garden")]) == {}
        assert await store.history("test", "garden") == []
        assert await store.outline("test", "garden") == Outline(b"", [])
        assert await store.records([NOWHERE]) == {}
        assert await store.head("test", "garden") is None
        assert await store.heads(None, None, 0, 10) == []
        assert await all_keys(store) == {}
        assert await store.events(0, 10) == []
        assert await store.last_event() == 0
        assert await store.peers() == []
        assert await store.cursors() == []

    async def test_a_batch_comes_back_as_it_was_given(self, store: Store) -> None:
        records = [offer(to=BOB, at=1), claim(by=BOB, at=2), claim(by=CAROL, at=3), claim("pond", at=4)]
        batch = batch_of(records)

        await store.commit(batch)

        founded, transferred, rival, pond = records
        assert await store.states(list(batch.states)) == batch.states
        assert await store.history("test", "garden") == [
            stored(founded, Verdict.FOUNDED),
            stored(transferred, Verdict.TRANSFERRED),
            stored(rival, Verdict.RIVAL),
        ]
        assert await store.outline("test", "garden") == Outline(
            b"".join(bytes.fromhex(entry.record.id) for entry in records[:3]),
            [Verdict.FOUNDED, Verdict.TRANSFERRED, Verdict.RIVAL],
        )
        assert await store.head("test", "garden") == transferred
        assert await store.heads(None, None, 0, 10) == [transferred, pond]
        assert await store.events(0, 10) == [
            StoredEvent(1, Event(EventType.ACCEPTED, founded.record), founded.signature),
            StoredEvent(2, Event(EventType.ACCEPTED, transferred.record), transferred.signature),
            StoredEvent(3, Event(EventType.ACCEPTED, pond.record), pond.signature),
        ]

    async def test_a_commit_returns_the_number_of_its_last_event(self, store: Store) -> None:
        first = await store.commit(batch_of([claim("one"), claim("two")]))
        without_events = await store.commit(Batch())
        second = await store.commit(batch_of([claim("three")]))

        assert (first, without_events, second) == (2, 2, 3)
        assert await store.last_event() == 3

    @pytest.mark.parametrize(
        "spoil",
        [
            pytest.param(lambda batch, known: batch.records.append(known), id="a record that is stored already"),
            pytest.param(lambda batch, _: batch.records.append(batch.records[0]), id="the same record twice"),
            pytest.param(lambda batch, _: batch.verdicts.update({NOWHERE: Verdict.STALE}), id="a verdict on no record"),
            pytest.param(
                lambda batch, _: batch.events.append(Event(EventType.ACCEPTED, claim("absent").record)),
                id="an event of no record",
            ),
        ],
    )
    async def test_a_batch_that_fails_anywhere_leaves_nothing_behind(
        self, store: Store, spoil: Callable[[Batch, StoredRecord], None]
    ) -> None:
        known = claim("known")
        await store.commit(batch_of([known]))
        batch = batch_of([claim("new"), claim("newer"), claim("known", at=2)], await store.states([("test", "known")]))
        before = await self.everything(store)
        spoil(batch, stored(known))

        with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the store's own affair
            await store.commit(batch)

        assert await self.everything(store) == before

    async def test_after_a_failed_batch_the_next_one_is_taken(self, store: Store) -> None:
        batch = batch_of([claim()])
        await store.commit(batch)
        with pytest.raises(Exception):  # noqa: B017, PT011
            await store.commit(batch)

        last = await store.commit(batch_of([claim("pond")]))

        assert last == 2

    async def everything(self, store: Store) -> tuple[object, ...]:
        labels = [("test", label) for label in ("known", "new", "newer", "absent")]
        histories = [await store.history(*label) for label in labels]
        return (await store.states(labels), histories, await all_keys(store), await store.events(0, 100))

    async def test_an_insertion_in_the_past_changes_verdicts_state_and_head(self, store: Store) -> None:
        late, early = claim(by=BOB, at=5), claim(by=ALICE, at=3)
        await store.commit(batch_of([late]))
        states = await store.states([("test", "garden")])

        change = insert(states["test", "garden"], {late.record.id: Verdict.FOUNDED}, [late.record], [early.record])
        last = await store.commit(self.insertion(early, change))

        assert last == 2
        assert await store.history("test", "garden") == [stored(early, Verdict.FOUNDED), stored(late, Verdict.RIVAL)]
        assert await store.states([("test", "garden")]) == {("test", "garden"): change.state}
        assert await store.head("test", "garden") == early
        assert await store.events(1, 10) == [StoredEvent(2, change.events[0], early.signature)]
        assert change.events[0].previous == late.record.id

    def insertion(self, entry: SignedRecord, change: Change) -> Batch:
        verdicts = dict(change.verdicts)
        return Batch(
            [stored(entry, verdicts.pop(entry.record.id))],
            verdicts,
            {key_of(entry.record): change.state},
            change.events,
        )

    async def test_an_event_may_be_of_a_record_of_an_earlier_batch(self, store: Store) -> None:
        entry = claim()
        await store.commit(batch_of([entry]))
        event = Event(EventType.REVERTED, entry.record, previous=NOWHERE, reason="it was so")

        await store.commit(Batch(events=[event]))

        assert await store.events(1, 10) == [StoredEvent(2, event, entry.signature)]

    @pytest.mark.parametrize("domains", [None, (), ("test",), ("other", "absent"), ("test", "other")])
    @pytest.mark.parametrize("labels", [None, (), ("a",), ("b", "c", "absent")])
    async def test_events_are_found_by_domain_and_label_page_by_page(
        self, store: Store, domains: Sequence[str] | None, labels: Sequence[str] | None
    ) -> None:
        entries = [claim(label, domain=domain) for domain in ("test", "other", "third") for label in "abc"]
        await store.commit(batch_of(entries))
        selection = Selection(*(None if names is None else frozenset(names) for names in (domains, labels)))

        found = await store.events(0, 100, selection)
        first = await store.events(0, 2, selection)
        rest = await store.events(first[-1].seq, 100, selection) if first else []
        early = await store.events(0, 100, selection, through=5)

        wanted = [entry.record for entry in entries if selection.takes(entry.record.domain, entry.record.label)]
        assert [each.event.record for each in found] == wanted
        assert [*first, *rest] == found
        assert early == [each for each in found if each.seq <= 5]

    async def test_a_label_of_refused_records_only_has_a_state_and_no_head(self, store: Store) -> None:
        orphan = claim(prev=NOWHERE)
        batch = batch_of([orphan])

        await store.commit(batch)

        assert await store.states([("test", "garden")]) == batch.states
        assert await store.history("test", "garden") == [stored(orphan, Verdict.ORPHAN)]
        assert await store.head("test", "garden") is None
        assert await store.heads(None, None, 0, 10) == []
        assert await all_keys(store) == {"test": [pack_key(1, bytes.fromhex(orphan.record.id))]}

    async def test_a_state_remembers_every_key_that_was_ever_named(self, store: Store) -> None:
        records = [offer(to=BOB, at=1), offer(by=BOB, to=CAROL, at=2), claim(by=CAROL, at=3)]
        batch = batch_of(records)

        await store.commit(batch)

        (state,) = (await store.states([("test", "garden")])).values()
        assert state == batch.states["test", "garden"]
        assert state.named == {ALICE.public, BOB.public, CAROL.public}

    async def test_a_history_is_in_order_of_timestamp_then_id(self, store: Store) -> None:
        records = [claim(at=7, nonce=number) for number in range(20)]
        records.sort(key=lambda entry: entry.record.order_key)
        batch = batch_of([claim(at=1), *records])
        batch.records.reverse()

        await store.commit(batch)

        assert [kept.signed for kept in await store.history("test", "garden")] == [claim(at=1), *records]

    async def test_a_claim_may_have_keys_of_its_own_called_as_ours(self, store: Store) -> None:
        entry = claim(
            id=7, canonical="no", signature=[1], verdict=None, prev=NOWHERE, text="\u00e9\u2028\U0001f331", size=1.5
        )

        await store.commit(batch_of([entry]))

        assert await store.records([entry.record.id]) == {entry.record.id: stored(entry, Verdict.ORPHAN)}

    async def test_a_thousand_records_are_found_by_id_and_absent_ones_are_left_out(self, store: Store) -> None:
        records = {entry.record.id: entry for entry in (claim(f"label {number}") for number in range(999))}
        await store.commit(batch_of(list(records.values())))

        found = await store.records([NOWHERE, *records])

        assert found == {record_id: stored(entry) for record_id, entry in records.items()}

    async def test_more_than_a_thousand_ids_are_not_asked_for_at_once(self, store: Store) -> None:
        with pytest.raises(AssertionError):
            await store.records([NOWHERE] * 1_001)
        with pytest.raises(AssertionError):
            await store.held([NOWHERE] * 1_001)

    async def test_of_a_thousand_ids_those_that_are_held_are_told(self, store: Store) -> None:
        ids = [entry.record.id for entry in (claim(f"label {number}") for number in range(999))]
        await store.commit(batch_of([claim(f"label {number}") for number in range(0, 999, 2)]))

        assert await store.held([NOWHERE, *ids]) == frozenset(ids[::2])

    async def test_a_label_is_found_only_in_its_own_domain_and_spelling(self, store: Store) -> None:
        await store.commit(batch_of([claim("Garden")]))
        others = [("test", "garden"), ("test", "Garden "), ("other", "Garden"), ("test", "Gar")]

        assert await store.states(others) == {}
        assert [await store.head(*key) for key in others] == [None] * 4
        assert [await store.history(*key) for key in others] == [[]] * 4

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
            (
                "",
                [
                    "a",
                    "ab",
                    "ab\U0010ffff",
                    "ab\U0010ffff!",
                    "ac",
                    "\ud7ff",
                    "\ud7ffz",
                    "\ue000",
                    "\U0010ffff",
                    "\U0010ffff!",
                ],
            ),
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
        labels = [
            "a",
            "ab",
            "ab\U0010ffff",
            "ab\U0010ffff!",
            "ac",
            "\ud7ff",
            "\ud7ffz",
            "\ue000",
            "\U0010ffff",
            "\U0010ffff!",
        ]
        await store.commit(batch_of([claim(label, domain=domain) for domain in ("a", "b", "c") for label in labels]))

        found = [head.record.label for head in await store.heads("b", None, 0, 100, prefix)]
        since = [head.record.label for head in await store.heads("b", None, 1, 100, prefix)]
        paged = [(await store.heads("b", after, 0, 1, prefix)) for after in [None, *(("b", label) for label in found)]]

        assert found == since == expected
        assert [head.record.label for page in paged for head in page] == expected

    async def test_keys_are_those_of_every_record_by_domain(self, store: Store) -> None:
        records = [claim(domain="a", at=1), claim(domain="b", at=2), claim(domain="a", by=BOB, at=3)]
        await store.commit(batch_of(records[:2]))
        await store.commit(batch_of(records[2:], await store.states([("a", "garden")])))

        founded, other, rival = (pack_key(entry.record.timestamp, bytes.fromhex(entry.record.id)) for entry in records)
        assert await all_keys(store) == {"a": [founded, rival], "b": [other]}

    async def test_events_are_paged_by_their_numbers(self, store: Store) -> None:
        await store.commit(batch_of([claim(str(number)) for number in range(7)]))

        pages = [await store.events(after, 3) for after in (0, 3, 6, 7, 99)]

        assert [[event.seq for event in page] for page in pages] == [[1, 2, 3], [4, 5, 6], [7], [], []]

    async def test_all_is_there_after_reopening_and_events_are_numbered_on(self, open_store: OpenStore) -> None:
        batch = batch_of([claim(), claim(at=2)])
        peer, cursor = Peer(url="http://peer", pull=True), Cursor("http://peer", "test", "pull", 7)
        async with open_store("one") as store:
            epoch = store.epoch
            await store.commit(batch)
            await store.put_peer(peer)
            await store.put_cursors([cursor])

        async with open_store("one") as store:
            last = await store.commit(batch_of([claim("pond")]))

            assert store.epoch == epoch
            assert await store.states(list(batch.states)) == batch.states
            assert await store.history("test", "garden") == batch.records
            assert await store.peers() == [peer]
            assert await store.cursors() == [cursor]
            assert last == 3
            assert [event.seq for event in await store.events(0, 10)] == [1, 2, 3]

    async def test_every_store_has_an_epoch_of_its_own(self, open_store: OpenStore) -> None:
        async with open_store("one") as one, open_store("another") as another:
            assert one.epoch != another.epoch
            assert {len(one.epoch), len(bytes.fromhex(one.epoch))} == {32, 16}

    async def test_commits_take_effect_in_the_order_of_the_calls(self, store: Store) -> None:
        batches = [batch_of([claim(str(number))]) for number in range(20)]

        lasts = await asyncio.gather(*(store.commit(batch) for batch in batches))

        assert lasts == list(range(1, 21))
        assert [event.event for event in await store.events(0, 20)] == [batch.events[0] for batch in batches]

    async def test_who_reads_during_commits_sees_whole_batches(self, store: Store) -> None:
        """Each batch adds the same number of records to a label."""
        histories: list[list[SignedRecord]] = [
            [claim(at=1 + 4 * number + step) for step in range(4)] for number in range(30)
        ]
        commits, states = [], {("test", "garden"): EMPTY}
        for records in histories:
            batch = batch_of(records, states)
            states = batch.states
            commits.append(asyncio.create_task(store.commit(batch)))

        sizes = []
        while not commits[-1].done():
            sizes.append(len(await store.history("test", "garden")))
        await asyncio.gather(*commits)

        assert sizes == sorted(sizes)
        assert {size % 4 for size in sizes} == {0}
        assert len(await store.history("test", "garden")) == 120

    async def test_a_commit_that_has_returned_is_seen_by_every_reader(self, store: Store) -> None:
        for number in range(1, 20):
            await store.commit(batch_of([claim(str(number))]))

            assert await asyncio.gather(*(store.last_event() for _ in range(4))) == [number] * 4

    async def test_closing_finishes_what_was_begun(self, open_store: OpenStore) -> None:
        async with open_store("one") as store:
            commits = [asyncio.create_task(store.commit(batch_of([claim(str(number))]))) for number in range(5)]
            await asyncio.gather(*commits[:1])

        async with open_store("one") as store:
            assert await store.last_event() == 5
        assert await asyncio.gather(*commits) == [1, 2, 3, 4, 5]

    async def test_peers_are_kept_by_url_or_without_one_by_key(self, store: Store) -> None:
        dialled = Peer(url="ws://one", push=True, pull=True, accept=False, key=ALICE.public)
        dialling = Peer(accept=True, key=ALICE.public)
        other = Peer(url="https://two", push=True, accept=None)

        for peer in (dialled, dialling, other):
            await store.put_peer(peer)

        assert await store.peers() == sorted([dialled, dialling, other], key=lambda peer: peer.name)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (Peer(url="http://one", push=True), Peer(url="http://one", pull=True, accept=True, key=BOB.public)),
            (Peer(key=BOB.public, accept=True), Peer(key=BOB.public, accept=False, push=True)),
        ],
    )
    async def test_a_peer_put_again_is_replaced_and_keeps_its_cursors(
        self, store: Store, before: Peer, after: Peer
    ) -> None:
        cursor = Cursor(before.name, "test", "pull", 1)
        await store.put_peer(before)
        await store.put_cursors([cursor])

        await store.put_peer(after)

        assert await store.peers() == [after]
        assert await store.cursors() == [cursor]

    async def test_a_pinned_key_is_all_that_changes_and_only_where_there_was_none(self, store: Store) -> None:
        unpinned = Peer(url="http://one", push=True, pull=True, accept=False)
        other = Peer(url="http://pinned", key=BOB.public)
        await store.put_peer(unpinned)
        await store.put_peer(other)

        pinned = [await store.pin_peer(name, ALICE.public) for name in ("http://one", "http://pinned", "http://gone")]

        assert pinned == [True, False, False]
        assert await store.peers() == [msgspec.structs.replace(unpinned, key=ALICE.public), other]

    @pytest.mark.parametrize("peer", [Peer(url="http://one", key=BOB.public), Peer(key=BOB.public)])
    async def test_a_removed_peer_is_forgotten_with_its_cursors(self, store: Store, peer: Peer) -> None:
        other = Peer(url="http://other", pull=True)
        kept = Cursor(other.name, "test", "pull", 2)
        await store.put_peer(peer)
        await store.put_peer(other)
        await store.put_cursors([Cursor(peer.name, "test", "pull", 1), kept])

        assert await store.remove_peer(peer.name) is True

        assert await store.peers() == [other]
        assert await store.cursors() == [kept]
        assert await store.remove_peer(peer.name) is False

    async def test_a_cursor_is_one_per_peer_domain_and_direction(self, store: Store) -> None:
        cursors = {
            Cursor(peer, domain, direction, 1)
            for peer in ("http://one", "http://two")
            for domain in ("a", "b")
            for direction in ("push", "pull")
        }
        await store.put_cursors(list(cursors))
        moved = Cursor("http://one", "a", "push", 2**53 - 1)

        await store.put_cursors([moved])

        assert set(await store.cursors()) == cursors - {Cursor("http://one", "a", "push", 1)} | {moved}
        assert len(await store.cursors()) == 8
