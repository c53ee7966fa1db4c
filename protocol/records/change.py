"""Change: what a few more records do to one label, and what the world is told of it.

A follower of the head is news; a head that is replaced in any other way was shown and is now taken back, so whoever
watches has to be told that, with the old head and the reason. Everything here follows from two states and the chain
between them.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from protocol.records.record import Record
from protocol.records.replay import REASONS, Replay, State, Verdict, replay


class EventType(StrEnum):
    """Whether the head moved on or was taken back."""

    ACCEPTED = "accepted"
    REVERTED = "reverted"


class Event(msgspec.Struct, frozen=True, gc=False):
    """The head of a label moved to `record`.

    `accepted`: it followed the head before it, or founded the label. `reverted`: the head changed in any other way;
    `previous` is the id of the one taken back, and `reason` says why.
    """

    type: EventType
    record: Record
    previous: str | None = None
    reason: str | None = None


class Change(msgspec.Struct, frozen=True, gc=False):
    """What happened to one label.

    The state after it; by record id every verdict that is new or other than before; the events, in order.
    """

    state: State
    verdicts: dict[str, Verdict]
    events: list[Event]


def append(state: State, records: Sequence[Record]) -> Change:
    """Take records that are newer than all of the label, in order: no history is needed."""
    verdicts: dict[str, Verdict] = {}
    events: list[Event] = []
    for record in records:
        state, verdict = state.extend(record)
        verdicts[record.id] = verdict
        if verdict.is_accepted:
            events.append(Event(EventType.ACCEPTED, record))
    return Change(state, verdicts, events)


def is_appended(state: State, records: Sequence[Record]) -> bool:
    """Whether `append` may take these: the first is newer than all of the label, and each newer than the one before."""
    newest = state.newest
    for record in records:
        if record.order_key <= newest:
            return False
        newest = record.order_key
    return True


def insert(state: State, before: dict[str, Verdict], history: Sequence[Record], records: Sequence[Record]) -> Change:
    """Take records that belong anywhere in the past: the label is replayed once.

    `history` is all that is held of the label without them, and `before` its verdicts by record id.
    """
    after = replay((*history, *records))
    changed = {name: verdict for name, verdict in after.verdicts.items() if before.get(name) is not verdict}
    return Change(after.state, changed, _events(state, after))


def _events(before: State, after: Replay) -> list[Event]:
    """Followers one by one where the old head still stands; else one reversal; nothing where the head stays."""
    chain = after.chain
    if before.tip is None:
        return [Event(EventType.ACCEPTED, record) for record in chain]
    ids = [record.id for record in chain]
    if before.tip.id in ids:
        return [Event(EventType.ACCEPTED, record) for record in chain[ids.index(before.tip.id) + 1 :]]
    assert chain, "a label that was founded stays so: its founder is only ever replaced by an older one"
    return [Event(EventType.REVERTED, chain[-1], previous=before.tip.id, reason=_why_reverted(before.tip.id, after))]


def _why_reverted(previous: str, after: Replay) -> str:
    verdict = after.verdicts[previous]
    return f"an older record arrived late, and the head before is now {verdict}: {REASONS[verdict]}"
