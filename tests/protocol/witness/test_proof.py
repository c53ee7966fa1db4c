"""A proof is believed for its signatures and the name of the domain, and for nothing else."""

from typing import Any

import pytest

from protocol.errors import Code, ProtocolError
from protocol.records.record import Record, SignedRecord, make, sign
from protocol.signing import SigningKey
from protocol.witness.policy import make_policy
from protocol.witness.proof import Proven, check_proof, receipts_of_proof
from protocol.witness.receipt import receipt_label, receipt_of
from protocol.witness.testimony import Testimony

WITNESSES = [SigningKey(bytes([number]) * 32) for number in range(1, 5)]
POLICY = make_policy([key.public for key in WITNESSES], faulty=1)
DOMAIN = f"com.example.{POLICY.name}"
ALICE, BOB = SigningKey(b"a" * 32), SigningKey(b"b" * 32)
LABEL = "garden"


def by(key: SigningKey, label: str, **fields: Any) -> SignedRecord:
    body = {"domain": DOMAIN, "label": label, "signedby": key.public, "timestamp": 1_790_000_000}
    return sign(make(body | fields), key)


def commits(witness: SigningKey, number: int, *records: Record) -> SignedRecord:
    said = {str(number): [record.id for record in records]}
    return by(witness, receipt_label(witness.public), at=1_790_000_000_000, commit=said)


POLICY_RECORD = by(ALICE, "@policy", **POLICY.fields)
FOUNDED = by(ALICE, LABEL, newowner=BOB.public)
TAKEN = by(BOB, LABEL, prev=FOUNDED.record.id)
RECEIPTS = [commits(witness, 2, FOUNDED.record, TAKEN.record) for witness in WITNESSES]
ENOUGH = RECEIPTS[: POLICY.quorum]
PROOF = [POLICY_RECORD, FOUNDED, TAKEN, *ENOUGH]


def test_a_chain_that_a_quorum_committed_is_proven() -> None:
    assert check_proof(DOMAIN, LABEL, PROOF) == Proven(POLICY, (FOUNDED.record, TAKEN.record))


def test_the_order_of_the_lines_does_not_matter() -> None:
    assert check_proof(DOMAIN, LABEL, PROOF[::-1]).head == TAKEN.record


STRANGER = SigningKey(b"s" * 32)
UNPROVEN = {
    "no policy": [FOUNDED, TAKEN, *ENOUGH],
    "no founding": [POLICY_RECORD, TAKEN, *ENOUGH],
    "no record of the label": [POLICY_RECORD, *ENOUGH],
    "a rival beside the chain": [*PROOF, by(BOB, LABEL)],
    "a follower by a key that is not named": [POLICY_RECORD, FOUNDED, by(STRANGER, LABEL, prev=FOUNDED.record.id)],
    "one receipt too few": PROOF[:-1],
    "the same witness twice": [*PROOF[:-1], commits(WITNESSES[0], 2, TAKEN.record)],
    "a quorum over two rounds": [*PROOF[:-1], commits(WITNESSES[2], 1, FOUNDED.record, TAKEN.record)],
    "a receipt by a stranger": [*PROOF[:-1], commits(STRANGER, 2, FOUNDED.record, TAKEN.record)],
    "commits for the head alone": [
        POLICY_RECORD,
        FOUNDED,
        TAKEN,
        *(commits(key, 2, TAKEN.record) for key in WITNESSES),
    ],
}


@pytest.mark.parametrize("proof", UNPROVEN.values(), ids=UNPROVEN)
def test_a_proof_with_a_hole_proves_nothing(proof: list[SignedRecord]) -> None:
    with pytest.raises(ProtocolError, match="not proven") as refused:
        check_proof(DOMAIN, LABEL, proof)

    assert refused.value.code is Code.MALFORMED


def test_a_signature_that_is_not_genuine_proves_nothing() -> None:
    forged = [*PROOF[:-1], SignedRecord("0" * 128, ENOUGH[-1].record)]

    with pytest.raises(ProtocolError) as refused:
        check_proof(DOMAIN, LABEL, forged)

    assert refused.value.code is Code.BAD_SIGNATURE


def test_a_proof_for_another_domain_proves_nothing_here() -> None:
    for other in ("com.example", f"org.example.{POLICY.name}"):
        with pytest.raises(ProtocolError, match="not proven"):
            check_proof(other, LABEL, PROOF)


def test_a_node_needs_no_more_receipts_than_a_quorum_each() -> None:
    receipts = [receipt for signed in RECEIPTS if (receipt := receipt_of(signed.record)) is not None]
    testimony = Testimony(POLICY)
    for receipt in receipts:
        testimony.add(receipt)
    chain = [FOUNDED.record, TAKEN.record]

    needed = receipts_of_proof(POLICY, [testimony.evidence(record.id) for record in chain])

    by_id = {signed.record.id: signed for signed in RECEIPTS}
    assert len(needed) == POLICY.quorum
    assert (
        check_proof(DOMAIN, LABEL, [POLICY_RECORD, FOUNDED, TAKEN, *(by_id[each] for each in needed)]).head == chain[1]
    )
