"""A node never loses a record that it committed or acknowledged, whatever crash it goes through.

A restored backup may lack the records that came after it. So records that were acknowledged between the backup and the
restore are excused.
"""

from collections.abc import Container, Mapping, Sequence

from protocol.records.record import Record
from simulations.cast.machine import Machine
from simulations.cast.user import ANSWER_S_MAX, Acknowledgement
from simulations.judges.violation import OnViolation


class DurabilityJudge:
    """Knows what each node has committed and acknowledged."""

    def __init__(self, on_violation: OnViolation, acknowledgements: Sequence[Acknowledgement]) -> None:
        """`on_violation`: told what is lost. `acknowledgements`: every one that a user got, growing during the run."""
        self._on_violation = on_violation
        self._acknowledgements = acknowledgements
        self._held: dict[str, dict[str, Record]] = {}
        self._excused: dict[str, list[tuple[float, float]]] = {}
        self._dropped: set[tuple[str, str]] = set()

    def on_restore(self, machine: Machine, backup_s: float, now_s: float) -> None:
        """The operator restores a backup that was made at `backup_s`. Records from after that time may be gone."""
        heard_s = now_s + ANSWER_S_MAX  # an answer from before the restore may still be on its way
        self._excused.setdefault(machine.name, []).append((backup_s, heard_s))
        self._held[machine.name] = {}

    def on_drop(self, machine: Machine, domain: str) -> None:
        """The operator drops a domain. None of its records need stay on the machine."""
        self._dropped.add((machine.name, domain))

    def _is_lost(self, name: str, record: Record, there: Container[str]) -> bool:
        return record.id not in there and (name, record.domain) not in self._dropped

    def on_start(self, machine: Machine, there: dict[str, Record]) -> None:
        """A node starts with these records on its disk: all that it committed, and perhaps one unanswered
        commit more.
        """
        for record in self._held.get(machine.name, {}).values():
            if self._is_lost(machine.name, record, there):
                self._on_violation(machine.name, f"record {record.id[:8]} of {record.label} was committed, and is gone")
        for acknowledgement in self._acknowledgements:  # now, because a peer may soon give back what this node lost
            if acknowledgement.machine == machine.name and self._is_lost(machine.name, acknowledgement.record, there):
                self._on_loss(acknowledgement)
        self._held[machine.name] = dict(there)

    def on_commit(self, name: str, records: Sequence[Record]) -> None:
        """A node committed these records."""
        held = self._held[name]
        for record in records:
            if record.id in held:
                self._on_violation(name, f"record {record.id[:8]} is committed twice")
            held[record.id] = record

    def check_acknowledged(self, machines: Mapping[str, Machine]) -> None:
        """Check that every acknowledged record is on the node that acknowledged it."""
        for acknowledgement in self._acknowledgements:
            name, record = acknowledgement.machine, acknowledgement.record
            node = machines[name].node
            if node is not None and (name, record.domain) not in self._dropped and not node.indexes.holds(record):
                self._on_loss(acknowledgement)

    def _on_loss(self, acknowledgement: Acknowledgement) -> None:
        record, gaps = acknowledgement.record, self._excused.get(acknowledgement.machine, [])
        if not any(begin_s <= acknowledgement.at_s <= end_s for begin_s, end_s in gaps):
            words = f"record {record.id[:8]} of {record.label} was acknowledged, and is gone"
            self._on_violation(acknowledgement.machine, words)
