"""A ledger: one label while a group of records for it is decided, by admission and replay, one after the other.

A client's record is judged by the state that the record before it left. Records that peers bring are taken together,
with one replay from the oldest of them on. A long replay pauses, so that others get their turn.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from node.intake.arrivals import Origin, runs_of
from node.intake.welcome import Welcome
from protocol.errors import ProtocolError
from protocol.records.admission import Trust, Window, check_extends, check_is_head, check_precondition, check_time
from protocol.records.change import Change, Event, append, is_appended
from protocol.records.named_keys import kept
from protocol.records.record import Record
from protocol.records.replay import State, Verdict
from protocol.records.timeline import Timeline
from protocol.steps import Steps

# Python 3.11 needs 0.2 us for a member of an enum, and 0.01 us for a global. Every record needs both.
_CLIENT: Final = Trust.CLIENT
_FOUNDED: Final = Verdict.FOUNDED


class Quotas(Protocol):
    """What each domain and key has here, and may have."""

    def check(self, record: Record) -> None:
        """Check that a client may add this record. Raises: ProtocolError."""

    def count(self, record: Record) -> None:
        """This record will be stored."""


class Ledger:
    """The state of one label, and what the group changes: verdicts by record id, and events."""

    __slots__ = ("_quotas", "_timeline", "_welcome", "_window", "events", "now_s", "state", "verdicts")

    def __init__(
        self,
        state: State,
        window: Window,
        welcome: Welcome,
        now_s: float,
        quotas: Quotas,
        timeline: Timeline | None = None,
    ) -> None:
        """`now_s` is in seconds since the Unix epoch. `timeline` is needed if `needs_history` says so."""
        self.state = state
        self.verdicts: dict[str, Verdict] = {}
        self.events: list[Event] = []
        self._window = window
        self._welcome = welcome
        self._quotas = quotas
        self.now_s = now_s
        self._timeline = timeline

    def admit(self, records: Sequence[Record], origins: Sequence[Origin]) -> Steps[dict[str, ProtocolError]]:
        """Take the records that may be taken; returns the refusals by record id.

        The records come in order-key order, each with its origin.
        """
        refusals: dict[str, ProtocolError] = {}
        for run in runs_of(zip(records, origins, strict=True)):
            taken: list[Record] = []
            for record, origin in run:
                try:
                    self._check(record, origin)
                except ProtocolError as error:
                    refusals[record.id] = error
                else:
                    taken.append(record)
            if taken:
                yield from self._take(taken)
        return refusals

    def _check(self, record: Record, origin: Origin) -> None:
        self._welcome.check(record, origin, self.state)
        check_precondition(self.state, origin.precondition)
        check_time(record, origin.trust, self._window, self.now_s)
        if origin.trust is Trust.CLIENT:
            self._check_client(record)
            self._quotas.check(record)

    def _check_client(self, record: Record) -> None:
        check_extends(record, self.state)
        if not self.state.is_extended_by(record):
            assert self._timeline is not None, "a late record needs the history of its label"
            check_is_head(self.state, is_followed=self._timeline.follower_of(record) is not None)

    def _take(self, records: Sequence[Record]) -> Steps[None]:
        for record in records:
            self._quotas.count(record)
        change = yield from self._change(records)
        self.state = change.state
        self.verdicts |= change.verdicts
        self.events += change.events

    def _change(self, records: Sequence[Record]) -> Steps[Change]:
        if not is_appended(self.state, records):
            assert self._timeline is not None, "a late record needs the history of its label"
            change = yield from self._timeline.insert(records)
            named = kept(change.state.named, self.state.named)
            return msgspec.structs.replace(change, state=msgspec.structs.replace(change.state, named=named))
        change = append(self.state, records)
        if self._timeline is not None:
            for record in records:
                self._timeline.append(record, change.verdicts[record.id])
        return change


def admit_newest(
    record: Record, origin: Origin, state: State, window: Window, welcome: Welcome, now_s: float
) -> tuple[State, Verdict]:
    """Take one record that is newer than all records of its label; returns the state after it, and the verdict.

    Most records come so, and need no ledger. The newest record is judged by the head alone, and nothing follows it.

    Raises:
        ProtocolError: the record is refused.
    """
    welcome.check(record, origin, state)
    check_precondition(state, origin.precondition)
    check_time(record, origin.trust, window, now_s)
    after, verdict = state.extend(record)
    if origin.trust is _CLIENT and verdict is not _FOUNDED:  # a client may found any label that has no head
        check_extends(record, state)
    return after, verdict


def needs_history(state: State, record: Record, trust: Trust) -> bool:
    """Whether the record goes before a record that is held, so that the label must be replayed from there on.

    A client's record before the head is refused without a look at the history. Otherwise a client could make a node
    read for ever.
    """
    head = state.tip.order_key if state.tip and trust is _CLIENT else (0, "")
    return head < record.order_key <= state.newest
