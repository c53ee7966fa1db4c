"""Admission in witnessed domains: which valid records a node takes from anybody.

No trusted peers are needed here, because nothing that a client brings can change what is final. But storage is finite.
So a client may bring only what can still win: a candidate of a slot that is not decided, at or after the final head;
and of these a limited number. A record that a witness has named is taken from anybody, because otherwise nodes that
admitted different rivals could never count the commits for one of them.

A listed peer brings whatever is valid, as in every domain. Each `check_` function is one rule and raises its own code.
"""

from collections import Counter
from itertools import chain
from typing import Final

from protocol.errors import Code, ProtocolError
from protocol.records.admission import Trust, Window, check_time, head_facts
from protocol.records.record import POLICY_LABEL, Record
from protocol.records.replay import State
from protocol.witness.domain import WitnessedDomain
from protocol.witness.label import WitnessedLabel
from protocol.witness.policy import policy_of
from protocol.witness.receipt import Receipt, receipt_of
from protocol.witness.walk import tip_of

FOUNDINGS_MAX: Final = 16
"""Foundings from clients that wait on one label for a decision."""

FOLLOWERS_MAX: Final = 64
"""Other records from clients that wait on one label for a decision."""

WAITING_BYTES_MAX: Final = 2**20
"""Bytes of receipts of one witness that wait for those before them in the chain, whoever brings them. All of them count
at once when the last of those comes. There is room for 17 receipts that name as much as they may, and for 3,500 small
ones: a witness sends 10 a second at most, and a node that catches up gets the newest before the oldest.
"""

ROUNDS_MAX: Final = 8_000
"""Rounds of votes and rounds of commits for one record, together, in what clients bring. The witnesses of a race that
nobody decides vote in so many rounds in 35 hours. A receipt of a liar names 400 in no time, and all of them are in
memory while the record is decided on.
"""

_CLIENT: Final = Trust.CLIENT
"""Python 3.11 needs 0.2 us for a member of an enum, and 0.01 us for a global."""

RETRY_AFTER_S: Final = 5
"""Seconds after which a client may try again where too many records wait for a decision. A guess."""


def check_witnessed(
    record: Record, trust: Trust, domain: WitnessedDomain, window: Window, now_s: float, undecided_max: int
) -> None:
    """Check that this node takes the record, whose domain is witnessed.

    `undecided_max`: records that may wait for a decision in the domain.

    Raises:
        ProtocolError: `malformed`, `not_owner`, `stale`, `too_new`, `too_old`, `too_large`, `rate_limited`,
            `overloaded`.
    """
    if record.is_of_witnesses:
        if trust is _CLIENT:
            (check_policy_record if record.label == POLICY_LABEL else check_receipt)(record, domain)
        if record.label != POLICY_LABEL:
            check_chain(record, trust, domain)
        return
    if domain.is_named(record.id):
        return
    check_time(record, trust, window, now_s)
    if trust is _CLIENT:
        label = domain.label(record.label)
        check_candidate(record, label)
        check_room(record, label, domain.undecided, undecided_max)


def check_policy_record(record: Record, domain: WitnessedDomain) -> None:
    """Check that the record is the policy of its domain, and that the node has none yet.

    Raises:
        ProtocolError: `malformed`, `stale`.
    """
    if policy_of(record) is None:
        detail = (
            "this is not the policy that the domain's name commits to: `faulty` and `witnesses` must have the digest "
            "in the name, and the record has no `prev` and no other keys"
        )
        raise ProtocolError(Code.MALFORMED, detail)
    if domain.policy_record is not None:
        detail = "the policy of this domain is here already: a second record of it adds nothing"
        raise ProtocolError(Code.STALE, detail, head=_facts(domain.policy_record))


def check_receipt(record: Record, domain: WitnessedDomain) -> None:
    """Check that the record is a receipt, by a witness of the domain, and that its votes and commits have room.

    Raises:
        ProtocolError: `malformed`, `too_large`; `not_owner`, also while the policy of the domain is not known.
    """
    if domain.policy is None:
        detail = "the policy of this domain is not known here, so nobody can say who its witnesses are: bring it first"
        raise ProtocolError(Code.NOT_OWNER, detail)
    if record.signedby not in domain.policy.witnesses or not record.label.endswith(record.signedby):
        raise ProtocolError(
            Code.NOT_OWNER, f"only a witness may write to this label, and {record.signedby} is not a witness"
        )
    receipt = receipt_of(record)
    if receipt is None:
        detail = "not a receipt: `at` in ms, `first` and `seen` as {id: ms}, `vote` and `commit` as {round: [ids]}"
        raise ProtocolError(Code.MALFORMED, detail)
    check_rounds(receipt, domain)


def check_rounds(receipt: Receipt, domain: WitnessedDomain) -> None:
    """Check that the witnesses do not vote for one record, or commit it, in too many rounds.

    Raises:
        ProtocolError: `too_large`.
    """
    assert domain.testimony is not None, "a domain with a policy has a testimony"
    named = Counter(record_id for _, record_id in chain(receipt.all_votes(), receipt.all_commits()))
    for record_id, rounds in named.items():
        said = domain.testimony.evidence(record_id)
        if len(said.votes) + len(said.commits) + rounds > ROUNDS_MAX:
            detail = f"votes and commits in {ROUNDS_MAX} rounds at most for one record, {record_id}"
            raise ProtocolError(Code.TOO_LARGE, detail, limit=ROUNDS_MAX)


def check_chain(record: Record, trust: Trust, domain: WitnessedDomain) -> None:
    """Check that the receipt follows those that count, or that there is room for it to wait for those before it.

    Raises:
        ProtocolError: `rate_limited` to a client, `overloaded` to a peer, which cannot know what waits here.
    """
    testimony, witness = domain.testimony, record.signedby
    if testimony is None or witness not in testimony.policy.witnesses:
        return
    is_full = testimony.waiting[witness] + len(record.canonical) > WAITING_BYTES_MAX
    if is_full and not testimony.is_sound((witness, record.prev)):
        detail = f"{WAITING_BYTES_MAX} bytes of receipts of this witness wait for those before them: bring those first"
        code = Code.RATE_LIMITED if trust is Trust.CLIENT else Code.OVERLOADED
        raise ProtocolError(code, detail, retry_after=RETRY_AFTER_S)


def check_candidate(record: Record, label: WitnessedLabel | None) -> None:
    """Check that the record can still become the head: it stands in a slot where nothing is decided. `label` is its
    label, None while that has no records.

    Raises:
        ProtocolError: `not_owner` or `stale`, with the head.
    """
    if label is None:
        if record.prev is not None:
            raise ProtocolError(Code.STALE, f"`prev` is {record.prev}, and this label has no records here", head=None)
        return
    if record.prev is not None and record.prev in label and not _follows(record, label):
        detail = f"{record.signedby} may not follow {record.prev}: neither its signer nor its `newowner`"
        raise ProtocolError(Code.NOT_OWNER, detail, head=_facts(label.head))
    if record.prev is not None and record.prev not in label:
        raise _lost(
            record, label, f"`prev` is {record.prev}, which is not held here: name the head, and bring it first"
        )
    if not label.is_open(record.prev):
        raise _lost(record, label, "another record is final in its place: name the head in `prev`")


def check_room(record: Record, label: WitnessedLabel | None, undecided: int, undecided_max: int) -> None:
    """Check that not too many records wait for a decision, on this label and in the domain. `undecided` of the domain
    wait already.

    Raises:
        ProtocolError: `rate_limited`, with `retry_after` in seconds.
    """
    if undecided >= undecided_max:
        raise _full(f"{undecided_max} records of this domain wait for its witnesses, as many as may")
    if label is None:
        return
    foundings = label.undecided_foundings()
    if record.prev is None and foundings >= FOUNDINGS_MAX:
        raise _full(f"{FOUNDINGS_MAX} foundings of this label wait for a decision, as many as may")
    if record.prev is not None and label.undecided - foundings >= FOLLOWERS_MAX:
        raise _full(f"{FOLLOWERS_MAX} records of this label wait for a decision, as many as may")


def _follows(record: Record, label: WitnessedLabel) -> bool:
    assert record.prev is not None, "asked of followers only"
    return tip_of(label.record(record.prev)).names(record.signedby)


def _lost(record: Record, label: WitnessedLabel, detail: str) -> ProtocolError:
    """`stale` for those who may write here, `not_owner` for everybody else."""
    is_owner = label.head is None or tip_of(label.head).names(record.signedby)
    if is_owner:
        return ProtocolError(Code.STALE, detail, head=_facts(label.head))
    assert label.head is not None, "only a head has an owner"
    words = f"the label is {label.head.signedby}'s, and not offered to {record.signedby}"
    return ProtocolError(Code.NOT_OWNER, words, head=_facts(label.head))


def _facts(head: Record | None) -> dict[str, object] | None:
    return None if head is None else head_facts(State(tip_of(head)))


def _full(detail: str) -> ProtocolError:
    return ProtocolError(Code.RATE_LIMITED, detail, retry_after=RETRY_AFTER_S)
