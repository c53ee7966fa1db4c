"""The part of the contract about witnessed domains: what witnesses said is kept with each batch, and read in parts."""

from collections.abc import Sequence
from typing import Any

import msgspec

from node.store.contract import Batch, Store
from protocol.records.record import Record, SignedRecord, make, sign
from protocol.signing import SigningKey
from protocol.witness.chains import NAMED_BESIDE_MAX
from protocol.witness.domain import WitnessedDomain
from protocol.witness.policy import make_policy
from protocol.witness.recall import Known, Overview, Spoken, Wanted
from protocol.witness.receipt import receipt_label, receipt_of
from protocol.witness.testimony import FORKS_MAX, Act, Evidence, Fork, Link, Spot
from tests.history import ALICE, BOB, CAROL
from tests.node.store.store_batches import Contract, stored

POLICY = make_policy([CAROL.public], 0)
DOMAIN = f"com.example.{POLICY.name}"
WITNESS, SEEN = CAROL.public, receipt_label(CAROL.public)
NOW_MS = 1_790_000_000_000
NOBODY = "f" * 64


def signed(by: SigningKey, label: str = "garden", **fields: Any) -> SignedRecord:
    record = {"domain": DOMAIN, "label": label, "signedby": by.public, "timestamp": NOW_MS // 1_000} | fields
    return sign(make(record), by)


def receipt(at_ms: int, prev: SignedRecord | None = None, **said: Any) -> SignedRecord:
    more = {} if prev is None else {"prev": prev.record.id}
    return signed(CAROL, SEEN, at=at_ms, timestamp=at_ms // 1_000, **more, **said)


FOUNDED, RIVAL, TOWER = signed(ALICE), signed(BOB), signed(ALICE, "tower")
POLICY_RECORD = signed(BOB, "@policy", **POLICY.fields)
FIRST = receipt(NOW_MS, first={FOUNDED.record.id: NOW_MS}, seen={RIVAL.record.id: NOW_MS})
SECOND = receipt(NOW_MS + 1, FIRST, commit={"0": [FOUNDED.record.id]})
FORK = receipt(NOW_MS + 2, FIRST, commit={"3": [NOBODY]})
FOURTH = receipt(NOW_MS + 4, receipt(NOW_MS + 3), seen={NOBODY: NOW_MS + 4})
"""Its `prev` is not held."""

ALL = (POLICY_RECORD, FOUNDED, RIVAL, TOWER, FIRST, SECOND, FORK, FOURTH)


class Keeper:
    """A domain in memory, and its batches."""

    def __init__(self) -> None:
        self.domain = WitnessedDomain(DOMAIN)

    def batch(self, records: Sequence[SignedRecord]) -> Batch:
        change = self.domain.add(each.record for each in records)
        news = {each.record.id for each in records}
        return Batch(
            [stored(each, change.verdicts[each.record.id]) for each in records],
            {each: verdict for each, verdict in change.verdicts.items() if each not in news},
            {(DOMAIN, label): state for label, state in change.states.items()},
            change.events,
            {DOMAIN: change},
        )


async def kept(store: Store, *records: SignedRecord) -> WitnessedDomain:
    """Commit these records one by one."""
    keeper = Keeper()
    for each in records:
        await store.commit(keeper.batch([each]))
    return keeper.domain


def without_body(record: Record) -> Record:
    return msgspec.structs.replace(record, canonical=b"")


SAID_OF_FOUNDED = Evidence({WITNESS: NOW_MS}, {0: {WITNESS: FIRST.record.id}}, {0: {WITNESS: SECOND.record.id}})
SAID_OF_NOBODY = Evidence(commits={3: {WITNESS: FORK.record.id}}, named=frozenset({WITNESS}))


class WitnessesContract(Contract):
    async def test_of_a_domain_without_records_nothing_is_known(self, store: Store) -> None:
        place = (WITNESS, None)

        found = await store.known(DOMAIN, Wanted({"garden": None}, {NOBODY: None}, {place: None}))

        assert found == Known(places={place: Spot()})
        assert await store.overview(DOMAIN) == Overview()
        assert await store.spoken(DOMAIN, WITNESS, None) == Spoken(None, lacks=False)

    async def test_a_label_is_read_with_all_that_was_said_of_its_records(self, store: Store) -> None:
        await kept(store, *ALL)

        found = await store.known(DOMAIN, Wanted(labels={"garden": None}))

        records = {record.id: record for record in found.labels.pop("garden")}
        assert records == {each.record.id: without_body(each.record) for each in (FOUNDED, RIVAL)}
        assert found.said == {FOUNDED.record.id: SAID_OF_FOUNDED, RIVAL.record.id: Evidence({WITNESS: NOW_MS})}

    async def test_what_was_said_of_some_records_is_read_without_their_labels(self, store: Store) -> None:
        await kept(store, *ALL)

        said = await store.last_said(DOMAIN, [FOUNDED.record.id, TOWER.record.id], POLICY.quorum)

        assert said == {FOUNDED.record.id: SAID_OF_FOUNDED}

    async def test_of_votes_and_commits_in_many_rounds_the_last_are_read_and_those_that_decide(
        self, store: Store
    ) -> None:
        """A witness that lies may vote and commit in 40,000 rounds."""
        record_id = FOUNDED.record.id
        voting = receipt(NOW_MS + 2, FIRST, vote={str(number): [record_id] for number in (3, 4, 10)})
        committing = receipt(NOW_MS + 3, voting, commit={str(number): [record_id] for number in (2, 5, 11)})
        await kept(store, POLICY_RECORD, FOUNDED, FIRST, voting, committing)

        decided = await store.last_said(DOMAIN, [record_id], quorum=1)
        undecided = await store.last_said(DOMAIN, [record_id], quorum=2)

        votes, commit = {10: {WITNESS: voting.record.id}}, {WITNESS: committing.record.id}
        assert decided == {record_id: Evidence({WITNESS: NOW_MS}, votes, {2: commit, 11: commit})}
        assert undecided == {record_id: Evidence({WITNESS: NOW_MS}, votes, {11: commit})}

    async def test_an_id_brings_its_label_or_what_was_said_ahead_of_it(self, store: Store) -> None:
        await kept(store, *ALL)

        found = await store.known(DOMAIN, Wanted(ids={RIVAL.record.id: None, NOBODY: None, FIRST.record.id: None}))

        assert found.held == {RIVAL.record.id: "garden", FIRST.record.id: SEEN}
        assert {name: len(records) for name, records in found.labels.items()} == {"garden": 2}
        assert found.said[NOBODY] == SAID_OF_NOBODY

    async def test_what_was_said_ahead_of_a_record_is_said_of_it_when_it_comes(self, store: Store) -> None:
        await kept(store, POLICY_RECORD, FIRST, SECOND)
        before = await store.spoken(DOMAIN, WITNESS, SECOND.record.id)
        keeper = Keeper()
        keeper.batch([POLICY_RECORD, FIRST, SECOND])
        await store.commit(keeper.batch([FOUNDED, RIVAL]))

        found = await store.known(DOMAIN, Wanted(labels={"garden": None}))

        assert before == Spoken(NOW_MS + 1, lacks=True)
        assert await store.spoken(DOMAIN, WITNESS, SECOND.record.id) == Spoken(NOW_MS + 1, lacks=False)
        assert found.said[FOUNDED.record.id] == SAID_OF_FOUNDED

    async def test_a_place_has_the_receipt_before_it_and_those_on_it(self, store: Store) -> None:
        await kept(store, *ALL)
        after_first, gap = (WITNESS, FIRST.record.id), (WITNESS, FOURTH.record.prev)

        found = await store.known(DOMAIN, Wanted(places={after_first: None, gap: None}))

        siblings, waiting = sorted((SECOND.record.id, FORK.record.id)), receipt_of(FOURTH.record)
        assert waiting is not None
        assert found.places[after_first] == Spot(Link(WITNESS, None, NOW_MS, is_sound=True), siblings)
        assert found.places[gap] == Spot(None, [FOURTH.record.id], [waiting])

    async def test_the_overview_has_what_a_node_keeps_all_the_time(self, store: Store) -> None:
        domain = await kept(store, *ALL)

        found = await store.overview(DOMAIN)

        receipts = tuple(sorted((SECOND.record.id, FORK.record.id)))
        assert found.policy == POLICY_RECORD.record
        assert found.heard_ms == {WITNESS: NOW_MS + 4}
        assert found.waiting == {WITNESS: len(FOURTH.record.canonical)}
        assert found.forks == [Fork(WITNESS, Act.RECEIPT, SEEN, FIRST.record.id, 0, (receipts[0], receipts[1]))]
        assert (found.undecided, found.doubly_decided) == ({"tower": 1}, {})
        assert sum(found.undecided.values()) == domain.undecided

    async def test_a_batch_without_records_counts_receipts_that_the_overview_calls_due(self, store: Store) -> None:
        keeper = Keeper()
        named = {f"{number:064x}": NOW_MS + 1 for number in range(NAMED_BESIDE_MAX + 1)}
        await store.commit(keeper.batch([POLICY_RECORD, receipt(NOW_MS + 1, FIRST, seen=named)]))
        keeper.domain.needs([FIRST.record])
        await store.commit(keeper.batch([FIRST]))
        before = await store.overview(DOMAIN)

        keeper.domain.needs(())
        await store.commit(Batch(walked={DOMAIN: keeper.domain.count_due()}))

        after = await store.overview(DOMAIN)
        assert (before.due, after.due) == ([(WITNESS, FIRST.record.id)], [])
        assert (before.waiting[WITNESS] > 0, after.waiting[WITNESS]) == (True, 0)
        found = await store.known(DOMAIN, Wanted(ids=dict.fromkeys(named)))
        assert found.said == dict.fromkeys(named, Evidence({WITNESS: NOW_MS + 1}))

    async def test_of_a_witness_that_lied_everywhere_some_forks_are_read(self, store: Store) -> None:
        chain, others = [FIRST], []
        for number in range(FORKS_MAX + 1):
            others.append(receipt(NOW_MS + 1 + number, chain[-1], seen={NOBODY: NOW_MS}))
            chain.append(receipt(NOW_MS + 1 + number, chain[-1]))
        await store.commit(Keeper().batch([POLICY_RECORD, *chain, *others]))

        assert len((await store.overview(DOMAIN)).forks) == FORKS_MAX

    async def test_batches_that_are_merged_keep_what_all_of_them_said(self, store: Store) -> None:
        keeper, merged = Keeper(), Batch()
        for each in ALL:
            merged.add(keeper.batch([each]))
        await store.commit(merged)

        found = await store.known(DOMAIN, Wanted({"garden": None}, {NOBODY: None}))

        assert found.said[FOUNDED.record.id] == SAID_OF_FOUNDED
        assert found.said[NOBODY] == SAID_OF_NOBODY

    async def test_labels_have_their_owners_though_the_policy_comes_last(self, store: Store) -> None:
        """Nobody owned them before, and the batch of the policy holds no record of theirs."""
        await kept(store, FOUNDED, FIRST, SECOND, POLICY_RECORD)

        assert await store.heads_of_owner(ALICE.public, DOMAIN, None, 0, 10) == [FOUNDED]
