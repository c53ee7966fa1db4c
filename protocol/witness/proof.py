"""A proof that a head is final, which a stranger checks offline and which believes nothing but the name of the domain.

A proof holds the policy record, the chain of the label up to the last final record, and for each record of the chain a
quorum of receipts that commit it in one round. Commits count wherever they stand, so no chain of receipts is needed.
"""

from collections.abc import Iterable, Sequence

import msgspec

from protocol.errors import Code, ProtocolError
from protocol.records.record import Record, SignedRecord, is_witnessed
from protocol.witness.policy import Policy, policy_of
from protocol.witness.receipt import receipt_of
from protocol.witness.testimony import Evidence, Testimony
from protocol.witness.walk import tip_of


class Proven(msgspec.Struct, frozen=True):
    """What a proof shows: the final records of a label, oldest first. The last one is the head that is final."""

    policy: Policy
    chain: tuple[Record, ...]

    @property
    def head(self) -> Record:
        return self.chain[-1]


def receipts_of_proof(policy: Policy, evidence: Iterable[Evidence]) -> list[str]:
    """The ids of as many receipts as a proof needs, sorted.

    `evidence` is that of each record of the chain. All of them are decided.
    """
    needed: set[str] = set()
    for said in evidence:
        decided_in = said.deciding_round(policy)
        assert decided_in is not None, "every record of the chain of a proof is decided"
        committing = said.commits[decided_in]
        needed.update(committing[witness] for witness in sorted(committing)[: policy.quorum])
    return sorted(needed)


def check_proof(domain: str, label: str, proof: Sequence[SignedRecord]) -> Proven:
    """What this proof shows of the label. Every signature is verified here.

    The order of the lines does not matter, and lines that the proof does not need do no harm.

    Raises:
        ProtocolError: `malformed`, or `bad_signature`, with the step that the proof does not show.
    """
    if not is_witnessed(domain):
        raise _unproven(f"{domain} is not the name of a witnessed domain, so nothing in it is ever final")
    _check_signatures(domain, proof)
    records = [signed.record for signed in proof]
    policy = next((policy for record in records if (policy := policy_of(record)) is not None), None)
    if policy is None:
        raise _unproven("no record of the proof is the policy that the name of the domain commits to")
    chain = _chain(label, records)
    _check_decided(policy, chain, records)
    return Proven(policy, tuple(chain))


def _check_signatures(domain: str, proof: Sequence[SignedRecord]) -> None:
    for signed in proof:
        if signed.record.domain != domain:
            raise _unproven(f"record {signed.record.id} is of another domain")
        if not signed.is_genuine():
            raise ProtocolError(Code.BAD_SIGNATURE, f"record {signed.record.id} is not signed by its `signedby`")


def _chain(label: str, records: Iterable[Record]) -> list[Record]:
    """The records of the label, which have to form one chain from its founding, each signed by who may follow."""
    after: dict[str | None, Record] = {}
    of_label = [record for record in records if record.label == label]
    for record in of_label:
        if after.setdefault(record.prev, record).id != record.id:
            raise _unproven(f"two records of the label follow {record.prev or 'nothing'}")
    chain: list[Record] = []
    while (record_or_none := after.get(chain[-1].id if chain else None)) is not None:
        if chain and not tip_of(chain[-1]).names(record_or_none.signedby):
            raise _unproven(f"record {record_or_none.id} is signed by a key that the record before it does not name")
        chain.append(record_or_none)
    if not chain or len(chain) < len({record.id for record in of_label}):
        raise _unproven("the records of the label do not form a chain that begins with a founding")
    return chain


def _check_decided(policy: Policy, chain: Iterable[Record], records: Iterable[Record]) -> None:
    testimony = Testimony(policy)
    for record in records:
        receipt = receipt_of(record)
        if receipt is not None:
            testimony.add(receipt)
    for record in chain:
        most = max(map(len, testimony.evidence(record.id).commits.values()), default=0)
        if most < policy.quorum:
            raise _unproven(f"record {record.id} is committed by {most} witnesses in one round: {policy.quorum} needed")


def _unproven(detail: str) -> ProtocolError:
    return ProtocolError(Code.MALFORMED, f"not proven: {detail}")
