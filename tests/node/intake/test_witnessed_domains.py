"""Which parts of a witnessed domain a node forgets first."""

from pathlib import Path
from typing import Any

from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey
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
