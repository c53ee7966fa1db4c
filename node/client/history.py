"""The history of a label: as a node shows it, and as it is once every record was checked here."""

import msgspec

from node.client.claim import Claim
from node.client.errors import VERDICTS_DIFFER, Untrusted
from protocol.errors import Code, ProtocolError
from protocol.records.record import SignedRecord, decode_signed, is_id, is_witnessed
from protocol.records.replay import replay


class ShownErasure(msgspec.Struct, frozen=True):
    """When and why the operator of the node erased a record. `time` is in seconds since the Unix epoch."""

    time: int
    reason: str


class PastRecord(msgspec.Struct, frozen=True):
    """One record of a history, as a node shows it. `seen`, `ordered` and `decided` are of witnessed domains.

    `erased`: the record is a skeleton, which nothing proves.
    """

    id: str
    signature: str
    verdict: str
    received: int
    record: msgspec.Raw
    seen: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    ordered: int | msgspec.UnsetType | None = msgspec.UNSET
    decided: bool | msgspec.UnsetType = msgspec.UNSET
    erased: ShownErasure | msgspec.UnsetType = msgspec.UNSET


class ShownHistory(msgspec.Struct, frozen=True):
    """The answer to `GET /claims/{domain}/{label}/history`, as a node shows it."""

    domain: str
    label: str
    owner: str | None
    head: str | None
    contested: bool
    records: list[PastRecord]
    certainty: str | msgspec.UnsetType | None = msgspec.UNSET
    final: str | msgspec.UnsetType | None = msgspec.UNSET


class History(msgspec.Struct, frozen=True):
    """All records of a label, oldest first, each with its verdict. `head` is the id of the head, None: no head.

    `certainty` is that of the head, and `final` the id of the last final record, both None in ordinary domains.
    """

    domain: str
    label: str
    owner: str | None
    head: str | None
    contested: bool
    claims: list[Claim]
    certainty: str | None = None
    final: str | None = None

    def __contains__(self, record_id: str) -> bool:
        return any(claim.id == record_id for claim in self.claims)

    def ancestors(self) -> frozenset[str]:
        """The ids of the head and of all records before it, by `prev`."""
        prevs = {claim.id: claim.prev for claim in self.claims}
        chain: set[str] = set()
        record_id = self.head
        while record_id in prevs and record_id not in chain:
            chain.add(record_id)
            record_id = prevs[record_id]
        return frozenset(chain)


def check_history(shown: ShownHistory, *, verifies: bool = True) -> History:
    """The history with every signature verified. In an ordinary domain, replay is done again here.

    Of an erased record nothing can be verified but its place. `verifies`: otherwise the node is believed.

    Raises:
        Untrusted: `malformed`, `bad_signature`, `verdicts_differ`.
    """
    history = History(
        shown.domain,
        shown.label,
        shown.owner,
        shown.head,
        shown.contested,
        [_claim_of(past, shown, verifies) for past in shown.records],
        shown.certainty or None,
        shown.final or None,
    )
    if verifies and not is_witnessed(shown.domain):
        _check_replay(history)
    return history


def _claim_of(past: PastRecord, shown: ShownHistory, verifies: bool) -> Claim:
    if past.erased is not msgspec.UNSET:
        return Claim(_read_skeleton(past, shown.domain, shown.label), verdict=past.verdict, is_erased=True)
    signed = verify_past(past, shown.domain, shown.label) if verifies else _read_past(past)
    return Claim(signed, verdict=past.verdict)


def verify_past(past: PastRecord, domain: str, label: str) -> SignedRecord:
    """The record of a history. Raises: Untrusted: it is of another label, erased, or nobody signed it."""
    if past.erased is not msgspec.UNSET:
        raise Untrusted(Code.ERASED, f"the node has erased {past.id}, so nothing proves what it shows of that record")
    signed = _read_past(past)
    if signed.record.id != past.id or not is_of(signed, domain, label):
        raise Untrusted(Code.BAD_SIGNATURE, f"the node shows a record that nobody signed: {past.id}")
    return signed


def _read_past(past: PastRecord) -> SignedRecord:
    """The same without a check of the signature. Raises: Untrusted: this is no record."""
    try:
        return decode_signed(past.signature, bytes(past.record))
    except ProtocolError as error:
        raise Untrusted(error.code, f"the node shows {past.id}, which is no record: {error.detail}") from error


def _read_skeleton(past: PastRecord, domain: str, label: str) -> SignedRecord:
    """What stayed of an erased record, under its own id. Raises: Untrusted: it is of another label, or no record."""
    signed = _read_past(past)
    if not is_id(past.id) or (signed.record.domain, signed.record.label) != (domain, label):
        raise Untrusted(Code.MALFORMED, f"the node shows {past.id} as an erased record of {label}, which it is not")
    return SignedRecord(signed.signature, msgspec.structs.replace(signed.record, id=past.id))


def is_of(signed: SignedRecord, domain: str, label: str) -> bool:
    """Whether this is a record of the label, and its signer signed it."""
    return (signed.record.domain, signed.record.label) == (domain, label) and signed.is_genuine()


def _check_replay(history: History) -> None:
    replayed = replay(claim.signed.record for claim in history.claims)
    state = replayed.state
    tip = state.tip.id if state.tip else None
    differing = [claim.id for claim in history.claims if claim.verdict != replayed.verdicts[claim.id]]
    if differing:
        raise Untrusted(VERDICTS_DIFFER, f"the node gives record {differing[0]} another verdict than replay does")
    if (history.head, history.owner, history.contested) != (tip, state.owner, state.contested):
        raise Untrusted(VERDICTS_DIFFER, f"the node shows {history.head} as the head, and its records give {tip}")
