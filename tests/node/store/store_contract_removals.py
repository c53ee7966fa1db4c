"""What every store must do when an operator takes records down: which records go, what stays, and how it is noted."""

from collections.abc import Callable, Sequence

import pytest

from node.removal.completion import complete_all
from node.store.contract import Store
from node.store.removals import Counted, Erasure, Removal, RemovalKind, Target
from protocol.records.record import SignedRecord
from tests.history import ALICE, BOB, CAROL
from tests.node.store.store_batches import Contract, OpenStore, all_keys, batch_of, claim, key_of, offer
from tests.node.store.store_contract_usage import RECORDS, amount, of_domain, of_key

WITNESSED = "w" + "a" * 52


def secret(number: int) -> str:
    return f"sesame-{number:04}-" * 3


async def remove(store: Store, target: Target, kind: RemovalKind = RemovalKind.ERASE) -> Removal:
    removal = await store.removals.begin(kind, target, "op", "because", 1_700_000_000)
    await complete_all(store)
    return await store.removals.removal(removal.number)


def history() -> list[SignedRecord]:
    """Two labels of `test`, one of `other`, each with a secret."""
    return [
        claim(by=ALICE, at=1, text=secret(1)),
        offer(to=BOB, at=2),
        claim(by=BOB, at=3, text=secret(2)),
        claim(by=CAROL, at=4, text=secret(3)),
        claim("pond", by=CAROL, at=5, text=secret(4)),
        claim("lake", domain="other", by=CAROL, at=6, text=secret(5)),
    ]


MakeTarget = Callable[[Sequence[SignedRecord]], Target]

TARGETS: list[tuple[MakeTarget, set[int]]] = [
    (lambda records: Target(ids=(records[0].record.id, records[2].record.id)), {0, 2}),
    (lambda _: Target(domain="test", label="garden"), {0, 1, 2, 3}),
    (lambda _: Target(key=CAROL.public), {3, 4, 5}),
    (lambda _: Target(key=CAROL.public, domain="test"), {3, 4}),
    (lambda _: Target(domain="other"), {5}),
]
"""Targets, and the places of their records in `history`."""


class RemovalsContract(Contract):
    """The tests of removals. That the bytes leave all files is for the tests of each store."""

    @pytest.mark.parametrize(("target", "places"), TARGETS)
    async def test_an_erased_record_leaves_its_skeleton(
        self, store: Store, target: MakeTarget, places: set[int]
    ) -> None:
        records = history()
        ids = [each.record.id for each in records]
        batch = batch_of(records)
        await store.commit(batch)
        before = (await store.states(list(batch.states)), await all_keys(store), await store.history("test", "garden"))

        counted = await store.removals.count(target(records))
        removal = await remove(store, target(records))

        after = (await store.states(list(batch.states)), await all_keys(store), await store.history("test", "garden"))
        held = await store.records(ids)
        assert after == before
        assert {at for at, each in enumerate(ids) if held[each].signed.record.is_erased} == places
        assert [held[each].signed.signature for each in ids] == [each.signature for each in records]
        assert await store.removals.erasures(ids) == {
            ids[at]: Erasure(1_700_000_000, "op", "because") for at in sorted(places)
        }
        size_bytes = sum(len(records[at].record.canonical) for at in places)
        assert (removal.is_done, removal.records, removal.size_bytes) == (True, len(places), size_bytes)
        assert (counted.records, counted.size_bytes) == (len(places), size_bytes)

    async def test_a_record_is_erased_once(self, store: Store) -> None:
        records = history()
        await store.commit(batch_of(records))
        await remove(store, Target(domain="test"))

        again = await remove(store, Target(key=CAROL.public))

        assert again.records == 1
        assert await store.removals.count(Target(domain="test")) == Counted()

    async def test_what_witnesses_said_is_not_erased(self, store: Store) -> None:
        said = claim("@seen/x", domain=WITNESSED, text="vote")
        await store.commit(batch_of([claim("garden", domain=WITNESSED), said]))

        counted = await store.removals.count(Target(domain=WITNESSED))
        removal = await remove(store, Target(domain=WITNESSED))

        assert (counted.records, counted.of_witnesses, removal.records) == (1, 1, 1)
        assert (await store.records([said.record.id]))[said.record.id].signed == said

    async def test_a_dropped_domain_leaves_nothing_but_its_name(self, store: Store) -> None:
        records = history()
        await store.commit(batch_of(records))
        await remove(store, Target(ids=(records[0].record.id,)))

        removal = await remove(store, Target(domain="test"), RemovalKind.DROP)

        assert (removal.records, removal.is_done) == (4, True)
        assert await all_keys(store) == {"other": (await all_keys(store))["other"]}
        assert await store.held([each.record.id for each in records]) == {records[5].record.id}
        assert await store.states([key_of(records[0].record)]) == {}
        assert await store.removals.dropped() == {"test"}
        assert [each.seq for each in await store.events(0, 9)] == [5]

    async def test_a_drop_whose_bodies_are_gone_stays_open_until_its_skeletons_are(self, store: Store) -> None:
        """A running node stops there, and its next start does the rest."""
        await store.commit(batch_of(history()))
        removal = await store.removals.begin(RemovalKind.DROP, Target(domain="test"), "op", "because", 1_700_000_000)
        while not (await store.removals.go_on(removal.number)).is_last_body:
            pass

        await store.removals.finish(removal.number)
        open_after = [each.number for each in await store.removals.unfinished()]
        await complete_all(store)

        assert open_after == [removal.number]
        assert await store.removals.unfinished() == []

    async def test_a_dropped_domain_uses_nothing(self, store: Store) -> None:
        await store.commit(batch_of(RECORDS))

        await remove(store, Target(domain="other"), RemovalKind.DROP)

        assert await store.domain_usage() == {"test": of_domain("test")}
        assert await store.key_usage([ALICE.public]) == {ALICE.public: of_key(ALICE.public, "test")}

    async def test_numbers_of_events_are_not_used_again_after_a_drop(self, open_store: OpenStore) -> None:
        """A client with a cursor to an old event would take another event for the next one."""
        async with open_store("one") as store:
            await store.commit(batch_of([claim("lake", domain="other"), claim("garden"), claim("pond")]))
            await remove(store, Target(domain="test"), RemovalKind.DROP)
        async with open_store("one") as store:
            assert await store.last_event() == 3

            last = await store.commit(batch_of([claim("sea", domain="other", at=2)]))

            assert last == 4

    async def test_records_after_a_drop_are_counted_again_at_each_start(self, open_store: OpenStore) -> None:
        """A store that gives them the numbers of dropped records would take them for counted ones."""
        async with open_store("one") as store:
            await store.commit(batch_of(RECORDS))
            await remove(store, Target(domain="other"), RemovalKind.DROP)
        later = claim("pond", by=CAROL, at=20)

        async with open_store("one") as store:
            await store.commit(batch_of([later]))
        async with open_store("one") as store:
            usage = await store.domain_usage()

        assert usage == {"test": amount([*(each for each in RECORDS if each.record.domain == "test"), later])}

    async def test_a_ban_that_a_drop_left_can_be_undone(self, store: Store) -> None:
        await remove(store, Target(domain="test"), RemovalKind.DROP)

        undone = [await store.removals.keep_again("test") for _ in range(2)]

        assert undone == [True, False]
        assert await store.removals.dropped() == frozenset()

    async def test_removals_are_listed_newest_first_in_pages(self, store: Store) -> None:
        made = [await remove(store, Target(domain=f"d{number}")) for number in range(3)]

        first = await store.removals.list(None, 2)
        second = await store.removals.list(first[-1].number, 2)

        assert [*first, *second] == made[::-1]
