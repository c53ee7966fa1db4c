"""What every store must say of usage: how much each domain and each key has."""

from collections.abc import Iterable

from node.store.contract import Store
from protocol.records.admission import Amount
from protocol.records.record import SignedRecord
from tests.history import ALICE, BOB, CAROL
from tests.node.store.store_batches import OpenStore, batch_of, claim

RECORDS = [
    claim("a", by=ALICE, text="x" * 100),
    claim("b", by=BOB),
    claim("c", by=ALICE, domain="other"),
    claim("d", by=BOB, domain="other", text="y" * 1_000),
]


def amount(records: Iterable[SignedRecord]) -> Amount:
    sizes = [len(each.record.canonical) for each in records]
    return Amount(len(sizes), sum(sizes))


def of_domain(name: str) -> Amount:
    return amount(each for each in RECORDS if each.record.domain == name)


def of_key(public: str, domain: str | None = None) -> Amount:
    return amount(each for each in RECORDS if each.record.signedby == public and domain in (None, each.record.domain))


class UsageContract:
    """Counts are those of the records, at any time."""

    async def test_a_new_store_uses_nothing(self, store: Store) -> None:
        assert await store.domain_usage() == {}
        assert await store.key_usage([ALICE.public]) == {ALICE.public: Amount()}
        assert await store.largest_keys(None, 10) == []

    async def test_records_are_counted_by_domain_and_by_key(self, store: Store) -> None:
        await store.commit(batch_of(RECORDS[:1]))
        await store.commit(batch_of(RECORDS[1:]))

        assert await store.domain_usage() == {"test": of_domain("test"), "other": of_domain("other")}
        assert await store.key_usage([CAROL.public, ALICE.public, BOB.public]) == {
            CAROL.public: Amount(),
            ALICE.public: of_key(ALICE.public),
            BOB.public: of_key(BOB.public),
        }

    async def test_the_largest_keys_come_first(self, store: Store) -> None:
        await store.commit(batch_of(RECORDS))

        assert await store.largest_keys(None, 10) == [
            (BOB.public, of_key(BOB.public)),
            (ALICE.public, of_key(ALICE.public)),
        ]
        assert await store.largest_keys("test", 1) == [(ALICE.public, of_key(ALICE.public, "test"))]
        assert await store.largest_keys("nowhere", 10) == []

    async def test_counts_go_on_after_they_were_asked_for(self, store: Store) -> None:
        """To ask for the largest keys moves counts inside of the store."""
        for record in RECORDS:
            await store.commit(batch_of([record]))
            await store.largest_keys(None, 1)

        assert await store.domain_usage() == {"test": of_domain("test"), "other": of_domain("other")}
        assert (await store.key_usage([BOB.public]))[BOB.public] == of_key(BOB.public)

    async def test_a_key_is_counted_on_after_it_was_asked_for(self, store: Store) -> None:
        counts = []
        for record in RECORDS:
            await store.commit(batch_of([record]))
            counts.append((await store.key_usage([BOB.public]))[BOB.public].records)
        await store.largest_keys(None, 1)

        assert counts == [0, 1, 1, 2]
        assert await store.key_usage([BOB.public]) == {BOB.public: of_key(BOB.public)}

    async def test_counts_are_right_after_a_restart(self, open_store: OpenStore) -> None:
        async with open_store("one") as store:
            await store.commit(batch_of(RECORDS[:1]))
            await store.largest_keys(None, 1)
            await store.commit(batch_of(RECORDS[1:3]))
        async with open_store("one") as store:
            await store.commit(batch_of(RECORDS[3:]))

            assert await store.domain_usage() == {"test": of_domain("test"), "other": of_domain("other")}
            assert (await store.key_usage([ALICE.public]))[ALICE.public] == of_key(ALICE.public)
