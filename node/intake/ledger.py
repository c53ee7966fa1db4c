"""One label while a group of records for it is decided: admission and replay, carried out one after the other.

Clients are judged record by record, each against what the one before it left; a peer's records are taken together,
with one replay at most.
"""

from collections.abc import Iterable, Sequence

import msgspec

from node.store.contract import Past
from protocol.errors import ProtocolError
from protocol.records.admission import Trust, Window, check_extends, check_is_head, check_precondition, check_time
from protocol.records.change import Change, Event, append, insert, is_appended
from protocol.records.record import Record
from protocol.records.replay import State, Verdict


class Terms(msgspec.Struct, frozen=True):
    """On what terms a group is admitted."""

    trust: Trust
    window: Window
    now_s: float
    if_match: str | None = None


class Ledger:
    """The label's state, and what the group changes of it: verdicts by record id, and events."""

    __slots__ = ("_before", "_records", "events", "state", "verdicts")

    def __init__(self, state: State, history: Sequence[Past] = ()) -> None:
        """`history` is needed where `needs_history` says so."""
        self.state = state
        self.verdicts: dict[str, Verdict] = {}
        self.events: list[Event] = []
        self._before = {past.record.id: past.verdict for past in history}
        self._records = [past.record for past in history]

    def admit(self, records: Sequence[Record], terms: Terms) -> dict[str, ProtocolError]:
        """Take what may be taken of these, which come in order-key order; returns the refusals by record id."""
        refusals: dict[str, ProtocolError] = {}
        admitted = []
        for record in records:
            try:
                check_precondition(self.state, terms.if_match)
                check_time(record, terms.trust, terms.window, terms.now_s)
                if terms.trust is Trust.CLIENT:
                    self._take_from_client(record)
                else:
                    admitted.append(record)
            except ProtocolError as error:
                refusals[record.id] = error
        if admitted:
            self._take(admitted, self._change(admitted))
        return refusals

    def _take_from_client(self, record: Record) -> None:
        check_extends(record, self.state)
        change = self._change([record])
        check_is_head(record, self.state, change.state)
        self._take([record], change)

    def _change(self, records: list[Record]) -> Change:
        if is_appended(self.state, records):
            return append(self.state, records)
        return insert(self.state, self._before, self._records, records)

    def _take(self, records: list[Record], change: Change) -> None:
        self.state = change.state
        self.verdicts |= change.verdicts
        self.events += change.events
        self._before |= change.verdicts
        self._records += records


def needs_history(state: State, records: Iterable[Record], trust: Trust) -> bool:
    """Whether these go before something that is held, so that the label has to be replayed.

    A client's record before the head is refused without a look at the history, or one could make a node read for ever.
    """
    head = state.tip.order_key if state.tip and trust is Trust.CLIENT else (0, "")
    return any(head < record.order_key <= state.newest for record in records)
