"""What every store must do: subclass `StoreContract` in the tests of a store and give it an `open_store` fixture."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import pytest

from node.store.contract import Batch, Cursor, LabelKey, Outline, Peer, Selection, Store, StoredEvent, StoredRecord
from protocol.records.change import Change, Event, EventType
from protocol.records.record import SignedRecord
from protocol.records.replay import EMPTY, Verdict
from protocol.sets.index import pack_key
from protocol.steps import finish
from tests.history import ALICE, BOB, CAROL, NOWHERE
from tests.node.store.store_batches import OpenStore, all_keys, batch_of, claim, key_of, offer, past, shown, stored
from tests.node.store.store_contract_heads import HeadsContract
from tests.node.store.store_contract_keys import KeysContract
from tests.node.store.store_contract_peers import PeersContract
from tests.node.store.store_contract_removals import RemovalsContract
from tests.node.store.store_contract_usage import UsageContract
from tests.node.store.store_contract_witnesses import WitnessesContract
from tests.protocol.records.timelines import timeline_of


class StoreContract(HeadsContract, KeysContract, PeersContract, RemovalsContract, UsageContract, WitnessesContract):
    """All tests: those of heads, keys, peers, removals, usage and witnesses, and here those of commits."""

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

    async def test_a_stored_batch_reads_back_unchanged(self, store: Store) -> None:
        records = [offer(to=BOB, at=1), claim(by=BOB, at=2), claim(by=CAROL, at=3), claim("pond", at=4)]
        batch = batch_of(records)

        await store.commit(batch)

        founded, transferred, rival, pond = records
        assert await store.states(list(batch.states)) == batch.states
        assert await store.history("test", "garden") == [
            past(founded, Verdict.FOUNDED),
            past(transferred, Verdict.TRANSFERRED),
            past(rival, Verdict.RIVAL),
        ]
        assert await store.outline("test", "garden") == Outline(
            b"".join(bytes.fromhex(entry.record.id) for entry in records[:3]),
            [Verdict.FOUNDED, Verdict.TRANSFERRED, Verdict.RIVAL],
        )
        assert await store.head("test", "garden") == shown(transferred)
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
    async def test_a_batch_that_fails_stores_nothing(
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

    async def test_after_a_failed_batch_the_next_batch_is_stored(self, store: Store) -> None:
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

        change = finish(timeline_of([late.record]).insert([early.record]))
        last = await store.commit(self.insertion(early, change))

        assert last == 2
        assert await store.history("test", "garden") == [past(early, Verdict.FOUNDED), past(late, Verdict.RIVAL)]
        assert await store.states([("test", "garden")]) == {("test", "garden"): change.state}
        assert await store.head("test", "garden") == shown(early)
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

    async def test_a_label_is_stored_alike_whether_the_caller_knows_that_it_is_new_or_not(
        self, open_store: OpenStore
    ) -> None:
        batch = batch_of([claim(), claim("pond"), offer("pond", to=BOB, at=2), claim("pond", by=BOB, at=3)])
        found = []
        for name, held_labels in (("one", set[LabelKey]()), ("another", None)):
            async with open_store(name) as store:
                await store.commit(msgspec.structs.replace(batch, held_labels=held_labels))
                founded = await store.labels_founded([("test", ALICE.public), ("test", BOB.public)])
                found.append(
                    (await store.states(list(batch.states)), await store.events(0, 10), list(founded.values()))
                )

        assert found[0] == found[1]
        assert found[0][0] == batch.states

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
        chosen = [None if names is None else frozenset(names) for names in (domains, labels)]
        selection = Selection(domains=chosen[0], labels=chosen[1])

        found = await store.events(0, 100, selection)
        first = await store.events(0, 2, selection)
        rest = await store.events(first[-1].seq, 100, selection) if first else []
        early = await store.events(0, 100, selection, through=5)

        wanted = [
            entry.record
            for entry in entries
            if selection.takes(EventType.ACCEPTED, entry.record.domain, entry.record.label)
        ]
        assert [each.event.record for each in found] == wanted
        assert [*first, *rest] == found
        assert early == [each for each in found if each.seq <= 5]

    @pytest.mark.parametrize("labels", [None, ("b", "c")])
    async def test_final_events_are_found_alone(self, store: Store, labels: Sequence[str] | None) -> None:
        entries = [claim(label) for label in "abc"]
        batch = batch_of(entries)
        batch.events += [Event(EventType.FINAL, entry.record) for entry in entries]
        await store.commit(batch)
        selection = Selection(labels=None if labels is None else frozenset(labels), only_final=True)

        found = await store.events(0, 100, selection)

        wanted = [entry.record for entry in entries if labels is None or entry.record.label in labels]
        assert [each.event for each in found] == [Event(EventType.FINAL, record) for record in wanted]

    async def test_a_label_with_only_refused_records_has_a_state_and_no_head(self, store: Store) -> None:
        orphan = claim(prev=NOWHERE)
        batch = batch_of([orphan])

        await store.commit(batch)

        assert await store.states([("test", "garden")]) == batch.states
        assert await store.history("test", "garden") == [past(orphan, Verdict.ORPHAN)]
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

        assert [kept.record.id for kept in await store.history("test", "garden")] == [
            entry.record.id for entry in (claim(at=1), *records)
        ]

    async def test_a_claim_may_have_fields_named_like_the_fields_of_a_record(self, store: Store) -> None:
        entry = claim(
            id=7, canonical="no", signature=[1], verdict=None, prev=NOWHERE, text="\u00e9\u2028\U0001f331", size=1.5
        )

        await store.commit(batch_of([entry]))

        assert await store.records([entry.record.id]) == {entry.record.id: stored(entry, Verdict.ORPHAN)}

    async def test_a_thousand_records_are_found_by_id_and_absent_ids_are_left_out(self, store: Store) -> None:
        records = {entry.record.id: entry for entry in (claim(f"label {number}") for number in range(999))}
        await store.commit(batch_of(list(records.values())))

        found = await store.records([NOWHERE, *records])

        assert found == {record_id: stored(entry) for record_id, entry in records.items()}

    async def test_a_call_with_more_than_a_thousand_ids_is_our_fault(self, store: Store) -> None:
        with pytest.raises(AssertionError):
            await store.records([NOWHERE] * 1_001)
        with pytest.raises(AssertionError):
            await store.held([NOWHERE] * 1_001)

    async def test_of_a_thousand_ids_the_stored_ones_are_named(self, store: Store) -> None:
        ids = [entry.record.id for entry in (claim(f"label {number}") for number in range(999))]
        await store.commit(batch_of([claim(f"label {number}") for number in range(0, 999, 2)]))

        assert await store.held([NOWHERE, *ids]) == frozenset(ids[::2])

    async def test_a_label_is_found_only_in_its_own_domain_and_spelling(self, store: Store) -> None:
        await store.commit(batch_of([claim("Garden")]))
        others = [("test", "garden"), ("test", "Garden "), ("other", "Garden"), ("test", "Gar")]

        assert await store.states(others) == {}
        assert [await store.head(*key) for key in others] == [None] * 4
        assert [await store.history(*key) for key in others] == [[]] * 4

    async def test_keys_lists_every_record_by_domain(self, store: Store) -> None:
        records = [claim(domain="a", at=1), claim(domain="b", at=2), claim(domain="a", by=BOB, at=3)]
        await store.commit(batch_of(records[:2]))
        await store.commit(batch_of(records[2:], await store.states([("a", "garden")])))

        founded, other, rival = (pack_key(entry.record.timestamp, bytes.fromhex(entry.record.id)) for entry in records)
        assert await all_keys(store) == {"a": [founded, rival], "b": [other]}

    async def test_events_are_paged_by_their_numbers(self, store: Store) -> None:
        await store.commit(batch_of([claim(str(number)) for number in range(7)]))

        pages = [await store.events(after, 3) for after in (0, 3, 6, 7, 99)]

        assert [[event.seq for event in page] for page in pages] == [[1, 2, 3], [4, 5, 6], [7], [], []]

    async def test_a_reopened_store_has_everything_and_goes_on_numbering_events(self, open_store: OpenStore) -> None:
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
            assert await store.history("test", "garden") == [past(it.signed, it.verdict) for it in batch.records]
            assert await store.peers() == [peer]
            assert await store.cursors() == [cursor]
            assert last == 3
            assert [event.seq for event in await store.events(0, 10)] == [1, 2, 3]

    async def test_every_store_has_its_own_epoch(self, open_store: OpenStore) -> None:
        async with open_store("one") as one, open_store("another") as another:
            assert one.epoch != another.epoch
            assert {len(one.epoch), len(bytes.fromhex(one.epoch))} == {32, 16}

    async def test_commits_take_effect_in_the_order_of_the_calls(self, store: Store) -> None:
        batches = [batch_of([claim(str(number))]) for number in range(20)]

        lasts = await asyncio.gather(*(store.commit(batch) for batch in batches))

        assert lasts == list(range(1, 21))
        assert [event.event for event in await store.events(0, 20)] == [batch.events[0] for batch in batches]

    async def test_a_reader_sees_whole_batches_while_commits_run(self, store: Store) -> None:
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

    async def test_every_reader_sees_a_commit_that_has_returned(self, store: Store) -> None:
        for number in range(1, 20):
            await store.commit(batch_of([claim(str(number))]))

            assert await asyncio.gather(*(store.last_event() for _ in range(4))) == [number] * 4

    async def test_closing_finishes_the_calls_under_way(self, open_store: OpenStore) -> None:
        async with open_store("one") as store:
            commits = [asyncio.create_task(store.commit(batch_of([claim(str(number))]))) for number in range(5)]
            await asyncio.gather(*commits[:1])

        async with open_store("one") as store:
            assert await store.last_event() == 5
        assert await asyncio.gather(*commits) == [1, 2, 3, 4, 5]
