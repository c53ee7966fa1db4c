"""Which parts of a witnessed domain a node forgets first."""

from pathlib import Path
from typing import Any

from node.intake.witnessed_domains import WitnessedDomains
from node.store.contract import Batch
from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey
from protocol.witness.change import DomainChange
from protocol.witness.policy import make_policy
from protocol.witness.receipt import receipt_label
from tests.history import ALICE, CAROL
from tests.node.intake.pipeline import NOW, PEER, pipeline, submission

POLICY = make_policy([CAROL.public], 0)
DOMAIN = f"com.example.{POLICY.name}"
RECORDS_MAX = 20


def signed(by: SigningKey, label: str, **fields: Any) -> SignedRecord:
    return sign(make({"domain": DOMAIN, "label": label, "signedby": by.public, "timestamp": NOW} | fields), by)


async def test_labels_where_nothing_waits_for_a_decision_are_forgotten_first(tmp_path: Path) -> None:
    """Witnesses will speak about the others: about those first that have waited for longest."""
    oldest, done = signed(ALICE, "oldest"), signed(ALICE, "done")
    said = {"first": {done.record.id: NOW * 1_000}, "commit": {"0": [done.record.id]}}
    receipt = signed(CAROL, receipt_label(CAROL.public), at=NOW * 1_000, **said)

    async with pipeline(tmp_path, labels_cached_max=10 * RECORDS_MAX) as it:
        for each in (signed(ALICE, "@policy", **POLICY.fields), oldest, done, receipt):
            await it.ingest.take([submission(each)], PEER)
        domain = it.witnessed.open(DOMAIN)
        for number in range(RECORDS_MAX):
            await it.ingest.take([submission(signed(ALICE, f"later-{number}"))], PEER)
            if domain.label("done") is None:
                break

        assert [domain.label(each) is None for each in ("done", "oldest")] == [True, False]


async def test_much_that_one_decision_touched_is_forgotten_some_at_a_time(tmp_path: Path) -> None:
    """A receipt may touch 400 long labels. To forget them at once holds the loop."""
    claims = [signed(ALICE, f"claim-{number}") for number in range(35)]
    async with pipeline(tmp_path) as it:
        await it.ingest.take([submission(each) for each in (signed(ALICE, "@policy", **POLICY.fields), *claims)], PEER)
        domains = await WitnessedDomains.load(it.store, it.indexes, 1)
        await domains.bring(DOMAIN, [each.record for each in claims])
        decided = Batch(walked={DOMAIN: DomainChange()})
        domains.on_decided(decided)
        domains.on_committed(decided)

        left = []
        while domains.shrink(at_once=10):
            left.append(len(domains.open(DOMAIN).labels))

        assert left == [25, 15, 5]
        assert len(domains.open(DOMAIN).labels) == 1


async def test_what_the_policy_touched_is_not_forgotten_before_it_is_on_disk(tmp_path: Path) -> None:
    """What witnesses said before the policy came counts by the same decision. Before the commit, the store would give a
    label without it.
    """
    claim, policy = signed(ALICE, "garden"), signed(ALICE, "@policy", **POLICY.fields)
    async with pipeline(tmp_path) as it:
        domains = await WitnessedDomains.load(it.store, it.indexes, 0)
        domain = domains.open(DOMAIN)
        brought = await domains.read(DOMAIN, [policy.record])  # the claim is on its way, and not in the store
        for_claim, for_policy = (batch_of(domain.add([each.record])) for each in (claim, policy))
        domains.on_decided(for_claim)
        domains.on_committed(for_claim)
        domains.on_decided(for_policy, brought)

        domains.shrink()
        before = domain.label("garden")
        domains.on_committed(for_policy)
        domains.shrink()

        assert (before is None, domain.label("garden") is None) == (False, True)


def batch_of(change: DomainChange) -> Batch:
    return Batch(walked={DOMAIN: change}, states={(DOMAIN, label): state for label, state in change.states.items()})
