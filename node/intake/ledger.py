"""A ledger: one label while a group of records for it is decided, by admission and replay, one after the other.

A client's record is judged by the state that the record before it left. Records that peers bring are taken together,
with at most one replay.
"""

from collections.abc import Sequence

from node.intake.arrivals import Origin
from node.store.contract import Past
from protocol.errors import ProtocolError
from protocol.records.admission import Trust, Window, check_extends, check_is_head, check_precondition, check_time
from protocol.records.change import Change, Event, append, insert, is_appended
from protocol.records.record import Record
from protocol.records.replay import State, Verdict


class Ledger:
    """The state of one label, and what the group changes: verdicts by record id, and events."""

    __slots__ = ("_before", "_records", "_window", "events", "now_s", "state", "verdicts")

    def __init__(self, state: State, window: Window, now_s: float, history: Sequence[Past] = ()) -> None:
        """`now_s` is in seconds since the Unix epoch. `history` is needed if `needs_history` says so."""
        self.state = state
        self.verdicts: dict[str, Verdict] = {}
        self.events: list[Event] = []
        self._window = window
        self.now_s = now_s
        self._before = {past.record.id: past.verdict for past in history}
        self._records = [past.record for past in history]

    def admit(self, records: Sequence[Record], origins: Sequence[Origin]) -> dict[str, ProtocolError]:
        """Take the records that may be taken; returns the refusals by record id.

        The records come in order-key order, each with its origin.
        """
        refusals: dict[str, ProtocolError] = {}
        from_peers: list[Record] = []
        for record, origin in zip(records, origins, strict=True):
            if from_peers and (origin.trust is Trust.CLIENT or origin.precondition is not None):
                self._take_from_peers(from_peers)  # a client's record and a condition see what came before
                from_peers = []
            try:
                check_precondition(self.state, origin.precondition)
                check_time(record, origin.trust, self._window, self.now_s)
                if origin.trust is Trust.CLIENT:
                    self._take_from_client(record)
                else:
                    from_peers.append(record)
            except ProtocolError as error:
                refusals[record.id] = error
        if from_peers:
            self._take_from_peers(from_peers)
        return refusals

    def _take_from_client(self, record: Record) -> None:
        check_extends(record, self.state)
        change = self._change([record])
        check_is_head(record, self.state, change.state)
        self._enter([record], change)

    def _take_from_peers(self, records: list[Record]) -> None:
        self._enter(records, self._change(records))

    def _change(self, records: list[Record]) -> Change:
        if is_appended(self.state, records):
            return append(self.state, records)
        return insert(self.state, self._before, self._records, records)

    def _enter(self, records: list[Record], change: Change) -> None:
        self.state = change.state
        self.verdicts |= change.verdicts
        self.events += change.events
        self._before |= change.verdicts
        self._records += records


def admit_newest(record: Record, origin: Origin, state: State, window: Window, now_s: float) -> tuple[State, Verdict]:
    """Take one record that is newer than all records of its label; returns the state after it, and the verdict.

    Most records come so, and need no ledger. The newest record is judged by the head alone, and nothing follows it.

    Raises:
        ProtocolError: the record is refused.
    """
    check_precondition(state, origin.precondition)
    check_time(record, origin.trust, window, now_s)
    if origin.trust is Trust.CLIENT:
        check_extends(record, state)
    return state.extend(record)


def needs_history(state: State, record: Record, trust: Trust) -> bool:
    """Whether the record goes before a record that is held, so that the label must be replayed.

    A client's record before the head is refused without a look at the history. Otherwise a client could make a node
    read for ever.
    """
    head = state.tip.order_key if state.tip and trust is Trust.CLIENT else (0, "")
    return head < record.order_key <= state.newest
