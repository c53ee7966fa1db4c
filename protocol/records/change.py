"""Change: what new records do to one label, and which events tell watchers about it.

If a record follows the head, one event announces the new head. If the head is replaced in any other way, watchers saw a
head that is now taken back. Then the event names the old head and the reason. The states before and after, and the
chain of accepted records, determine all events.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from protocol.records.record import Record
from protocol.records.replay import REASONS, State, Verdict


class EventType(StrEnum):
    """Whether the head moved forward or was taken back, or a record of a witnessed domain became final."""

    ACCEPTED = "accepted"
    REVERTED = "reverted"
    FINAL = "final"

    __hash__ = str.__hash__  # faster, as for `Verdict`


class Event(msgspec.Struct, frozen=True, gc=False):
    """The head of a label moved to `record`, or the record became final.

    `accepted`: the record follows the old head, or founds the label. `reverted`: the head changed in any other way.
    Then `previous` is the id of the head that was taken back, and `reason` says why. `final`: the witnesses of the
    domain decided the record, and every record before it; the head stays.
    """

    type: EventType
    record: Record
    previous: str | None = None
    reason: str | None = None


class Change(msgspec.Struct, frozen=True, gc=False):
    """What happened to one label.

    `state` is the state after it. `verdicts` holds each new or changed verdict, by record id. `events` are in order.
    """

    state: State
    verdicts: dict[str, Verdict]
    events: list[Event]


def append(state: State, records: Sequence[Record]) -> Change:
    """Add records that are newer than all stored records of the label, in order. No history is needed."""
    verdicts: dict[str, Verdict] = {}
    events: list[Event] = []
    for record in records:
        state, verdict = state.extend(record)
        verdicts[record.id] = verdict
        if verdict.is_accepted:
            events.append(Event(EventType.ACCEPTED, record))
    return Change(state, verdicts, events)


def is_appended(state: State, records: Sequence[Record]) -> bool:
    """Whether `append` may add these: the first is newer than all stored records, and each than the one before it."""
    newest = state.newest
    for record in records:
        if record.order_key <= newest:
            return False
        newest = record.order_key
    return True


def reverted(head: Record, previous: str, verdict: Verdict) -> Event:
    """The old head, whose id is `previous`, is no longer accepted: `verdict` is the verdict on it now."""
    reason = f"an older record arrived late, and the head before is now {verdict}: {REASONS[verdict]}"
    return Event(EventType.REVERTED, head, previous=previous, reason=reason)
