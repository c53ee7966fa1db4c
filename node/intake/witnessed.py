"""The decider's part for witnessed domains: admission, and the walk of the labels that records touch.

The domain in memory takes each record at once, and says what changes. A batch holds all of that, so that verdicts,
heads and events become durable together with the records.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from node.intake.arrivals import Origin, runs_of
from node.intake.group import Group
from node.intake.usage import Usage
from node.intake.welcome import Welcome
from node.store.contract import Batch, StoredRecord
from protocol.errors import Code, ProtocolError
from protocol.records.admission import Trust, Window, check_precondition
from protocol.records.outcome import Outcome, Status
from protocol.records.quota import Quota
from protocol.records.record import POLICY_LABEL, Record
from protocol.records.replay import State
from protocol.witness.admission import check_witnessed
from protocol.witness.change import DomainChange
from protocol.witness.domain import WitnessedDomain
from protocol.witness.walk import tip_of

# Python 3.11 needs 0.2 us for a member of an enum, and 0.01 us for a global.
_CLIENT: Final = Trust.CLIENT
_ACCEPTED: Final = Status.ACCEPTED

RECEIPTS_PER_S_MAX = 50
"""Receipts of one witness in one domain that clients may bring in a second. What peers bring is not limited here,
because a node that was away has to catch up with months of receipts."""

NAMING_BYTES_MAX: Final = 1_048_576
"""Bytes of the receipts of one group that are searched for ids: 13,000 ids, in about 5 ms."""

_ID: Final = re.compile('"([0-9a-f]{64})"')


class WitnessedDecider:
    """Decides on the records of witnessed domains."""

    def __init__(self, window: Window, welcome: Welcome, undecided_max: int, usage: Usage) -> None:
        """`undecided_max`: records from clients that may wait for a decision in one domain."""
        self._window = window
        self._welcome = welcome
        self._undecided_max = undecided_max
        self._usage = usage
        self._receipts = Quota(RECEIPTS_PER_S_MAX)

    def admit(
        self, batch: Batch, group: Group, positions: Iterable[int], domain: WitnessedDomain, now_s: float
    ) -> list[int]:
        """Settle these records of one domain, each of which comes after those that it names (`in_order`); returns the
        positions of those that were taken.
        """
        change = DomainChange()
        taken: list[int] = []
        for run in runs_of([(position, group.origins[position]) for position in positions]):
            records: list[Record] = []
            for position, origin in run:
                record = group.records[position].record
                try:
                    self._check(record, origin, domain, now_s)
                except ProtocolError as error:
                    group.refuse(position, error)
                else:
                    self._note(record)
                    records.append(record)
                    taken.append(position)
            if len(records) == 1 and not records[0].is_of_witnesses:  # as most that clients bring
                domain.add_claim(records[0], change)
            else:
                domain.add(records, change)
        if taken:
            _enter(batch, group, taken, domain.name, domain.follow(change), now_s)
            for position in taken:
                group.settle(position, _accepted(group, position, domain, change))
        return taken

    def count_due(self, batch: Batch, group: Group, domain: WitnessedDomain, now_s: float) -> None:
        """Count receipts of this domain that are sound by now. `group` is empty."""
        _enter(batch, group, (), domain.name, domain.follow(domain.count_due()), now_s)

    def _note(self, record: Record) -> None:
        """This record will be stored."""
        self._usage.count(record)
        if record.prev is None and not record.is_of_witnesses:
            self._welcome.on_founded(record)

    def _check(self, record: Record, origin: Origin, domain: WitnessedDomain, now_s: float) -> None:
        """Raises: ProtocolError: this record may not be taken."""
        self._welcome.check_witnessed(record, origin, domain)
        if origin.precondition is not None:
            head = domain.head(record.label)
            check_precondition(State() if head is None else State(tip_of(head)), origin.precondition)
        check_witnessed(record, origin.trust, domain, self._window, now_s, self._undecided_max)
        if record.is_of_witnesses:
            if record.label != POLICY_LABEL and origin.address is not None:
                self._count_receipt(record, now_s)
        elif origin.trust is _CLIENT and self._usage.has_quota and not domain.is_named(record.id):
            self._usage.check(record)  # but receipts, and what they name: without them, nothing could be decided

    def _count_receipt(self, record: Record, now_s: float) -> None:
        name = f"{record.domain} {record.signedby}"
        wait_s = self._receipts.wait_s(name, now_s)
        if wait_s > 0:
            detail = f"more than {RECEIPTS_PER_S_MAX} receipts a second of one witness: send them again later"
            raise ProtocolError(Code.RATE_LIMITED, detail, retry_after=wait_s)
        self._receipts.spend(name, 1, now_s)


def in_order(group: Group, positions: Iterable[int]) -> list[int]:
    """The positions so that each record finds what it needs: the policy first, then receipts and claims, each after the
    one that it names in `prev`, and each claim after a receipt that names it.

    A claim follows its first receipt as soon as possible, so that mostly one slice has both. Otherwise what the receipt
    says is stored under an id that is not held, and moved when the claim comes.
    """
    records = {position: group.records[position].record for position in positions}
    if not any(record.prev or record.is_of_witnesses for record in records.values()):
        return list(records)  # as most that clients bring
    policies = [position for position, record in records.items() if record.label == POLICY_LABEL]
    others = {record.id: position for position, record in records.items() if record.label != POLICY_LABEL}
    of_receipts = {each: position for each, position in others.items() if records[position].is_of_witnesses}
    of_claims = {each: position for each, position in others.items() if each not in of_receipts}
    receipts, claims = _after_their_prev(records, of_receipts), _after_their_prev(records, of_claims)
    if not (receipts and claims):
        return policies + receipts + claims
    return policies + _with_their_claims(records, receipts, claims)


def _with_their_claims(records: Mapping[int, Record], receipts: Sequence[int], claims: Sequence[int]) -> list[int]:
    """These receipts, each followed by the claims that it names first, and then all other claims."""
    first_named = _first_named([records[position] for position in receipts])
    place: dict[str, int] = {}
    following: dict[int, list[int]] = defaultdict(list)
    for position in claims:
        claim = records[position]
        named_at = first_named.get(claim.id, len(receipts))
        place[claim.id] = named_at if claim.prev is None else max(named_at, place.get(claim.prev, 0))
        following[place[claim.id]].append(position)
    ordered = [each for number, receipt in enumerate(receipts) for each in (receipt, *following.get(number, ()))]
    return ordered + following[len(receipts)]


def _first_named(receipts: Iterable[Record]) -> dict[str, int]:
    """The ids that stand in these receipts, each with the number of the first receipt. The first `NAMING_BYTES_MAX` of
    the receipts are looked at.
    """
    first: dict[str, int] = {}
    size_bytes = 0
    for number, receipt in enumerate(receipts):
        size_bytes += len(receipt.canonical)
        if size_bytes > NAMING_BYTES_MAX:
            break
        for each in _ID.findall(receipt.canonical.decode()):
            first.setdefault(each, number)
    return first


def _after_their_prev(records: Mapping[int, Record], wanted: Mapping[str, int]) -> list[int]:
    """These records, given as positions by record id, each after the one in its `prev`."""
    ordered: dict[int, None] = {}
    for position in wanted.values():
        before = [position]
        while (prev := records[before[-1]].prev) is not None and prev in wanted and wanted[prev] not in ordered:
            before.append(wanted[prev])
        ordered |= dict.fromkeys(reversed(before))
    return list(ordered)


def _enter(batch: Batch, group: Group, taken: Iterable[int], domain: str, change: DomainChange, now_s: float) -> None:
    """Add to the batch what these records changed."""
    verdicts, second, news = change.verdicts, int(now_s), set[str]()
    for position in taken:
        signed = group.records[position]
        news.add(signed.record.id)
        batch.records.append(StoredRecord(signed, verdicts[signed.record.id], second))
    if len(verdicts) > len(news):
        batch.verdicts |= {each: verdict for each, verdict in verdicts.items() if each not in news}
    batch.states |= {(domain, label): state for label, state in change.states.items()}
    batch.events += change.events
    batch.walked[domain] = change


def _accepted(group: Group, position: int, domain: WitnessedDomain, change: DomainChange) -> Outcome:
    signed = group.records[position]
    certainty = domain.certainty(signed.record)
    facts: dict[str, object] = {} if certainty is None else {"certainty": certainty}
    return Outcome(signed.signature, _ACCEPTED, signed.record, change.verdicts[signed.record.id], facts=facts)
