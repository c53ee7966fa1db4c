"""Always: the set only grows, and what was acknowledged is there after any crash.

A backup that an operator puts back may lack what came after it. So what was acknowledged between the backup and the
restore is excused.
"""

from collections.abc import Mapping, Sequence

from protocol.records.record import Record
from simulations.cast.machine import Machine
from simulations.cast.user import ANSWER_S_MAX, Acknowledgement
from simulations.judges.violation import OnViolation


class DurabilityJudge:
    """Knows what each node has committed and acknowledged."""

    def __init__(self, on_violation: OnViolation, acknowledgements: Sequence[Acknowledgement]) -> None:
        """`acknowledgements` grows while the run goes on."""
        self._on_violation = on_violation
        self._acknowledgements = acknowledgements
        self._held: dict[str, dict[str, Record]] = {}
        self._excused: dict[str, list[tuple[float, float]]] = {}

    def on_restore(self, machine: Machine, backup_s: float, now_s: float) -> None:
        """The operator puts back a backup of that time: what came in between may be gone, if no peer has it."""
        heard_s = now_s + ANSWER_S_MAX  # an answer may be on its way while its machine is restored
        self._excused.setdefault(machine.name, []).append((backup_s, heard_s))
        self._held[machine.name] = {}

    def on_start(self, machine: Machine, there: dict[str, Record]) -> None:
        """A node starts with these records on its disk: all that was committed, and maybe what nobody was told of."""
        for record in self._held.get(machine.name, {}).values():
            if record.id not in there:
                self._on_violation(machine.name, f"record {record.id[:8]} of {record.label} was committed, and is gone")
        for acknowledgement in self._acknowledgements:  # now, before a peer brings back what this node lost
            if acknowledgement.machine == machine.name and acknowledgement.record.id not in there:
                self._gone(acknowledgement)
        self._held[machine.name] = dict(there)

    def on_commit(self, name: str, records: Sequence[Record]) -> None:
        """A node committed these records."""
        held = self._held[name]
        for record in records:
            if record.id in held:
                self._on_violation(name, f"record {record.id[:8]} was taken twice")
            held[record.id] = record

    def check_acknowledged(self, machines: Mapping[str, Machine]) -> None:
        """That what was acknowledged is there, on the node that said so."""
        for acknowledgement in self._acknowledgements:
            node = machines[acknowledgement.machine].node
            if node is not None and not node.indexes.holds(acknowledgement.record):
                self._gone(acknowledgement)

    def _gone(self, acknowledgement: Acknowledgement) -> None:
        record, gaps = acknowledgement.record, self._excused.get(acknowledgement.machine, [])
        if not any(begin_s <= acknowledgement.at_s <= end_s for begin_s, end_s in gaps):
            words = f"record {record.id[:8]} of {record.label} was acknowledged, and is gone"
            self._on_violation(acknowledgement.machine, words)
