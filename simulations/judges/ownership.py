"""The state of every label and every verdict are those of the oracle, which replays the whole history.

So nobody owns a label without having founded it or having been offered it. The oracle shares no code with the node.
Labels of witnessed domains have a judge of their own, `walks`.
"""

from collections.abc import Mapping
from typing import Final

from node.store.contract import Batch, LabelKey
from protocol.records.record import Record, is_witnessed
from protocol.records.replay import Verdict
from simulations.cast.machine import Machine
from simulations.judges.oracle import ownership
from simulations.judges.violation import OnViolation

HEADS_CHECKED: Final = 50
"""Labels of a node whose heads are checked at the end: the first."""

LONG_RECORDS: Final = 64
LONG_EVERY: Final = 16
"""A label with more than 64 records is replayed only after every 16th, because replays of the whole history take time
that grows with the square of its length.
"""


class OwnershipJudge:
    """Knows the records of each label on each node."""

    def __init__(self, on_violation: OnViolation) -> None:
        """`on_violation`: told where a node differs from the oracle."""
        self._on_violation = on_violation
        self._labels: dict[str, dict[LabelKey, dict[str, Record]]] = {}

    def on_start(self, name: str, there: Mapping[str, Record]) -> None:
        """A node starts with these records on its disk."""
        self._labels[name] = {}
        for record in there.values():
            self._enter(name, record)

    def on_commit(self, name: str, batch: Batch) -> None:
        """A node committed this batch: check each label in it."""
        for stored in batch.records:
            self._enter(name, stored.signed.record)
        verdicts = {it.signed.record.id: it.verdict for it in batch.records} | batch.verdicts
        for key, state in batch.states.items():
            if is_witnessed(key[0]):
                continue
            self._check_label(name, key, state.owner, verdicts)

    def check_stores(self, machines: Mapping[str, Machine]) -> None:
        """Check that every verdict on every disk is the oracle's."""
        for name, machine in machines.items():
            for (domain, label), history in machine.disk.histories().items():
                if is_witnessed(domain):
                    continue
                chain = frozenset(ownership(past.record for past in history).chain)
                for past in history:
                    if past.verdict.is_accepted is not (past.record.id in chain):
                        words = f"record {past.record.id[:8]} of {label} is stored as {past.verdict}"
                        self._on_violation(name, f"{words}, and the oracle disagrees")

    async def check_heads(self, machines: Mapping[str, Machine]) -> None:
        """Check that the head of a label that a node shows is the last record of the oracle's chain."""
        for name, machine in machines.items():
            labels = list(self._labels.get(name, {}).items()) if machine.node is not None else []
            kept = [(key, it) for key, it in labels if key[0] not in machine.running.indexes.dropped]
            for key, history in kept[:HEADS_CHECKED]:
                shown = await machine.running.heads.get(*key)
                chain = ownership(history.values()).chain
                if (shown.id if shown else None) != (chain[-1] if chain else None):
                    self._on_violation(
                        name, f"the shown head of {key[1]} is not the last record that the oracle accepts"
                    )

    def _enter(self, name: str, record: Record) -> None:
        if is_witnessed(record.domain):
            return
        self._labels[name].setdefault((record.domain, record.label), {})[record.id] = record

    def _check_label(self, name: str, key: LabelKey, owner: str | None, verdicts: Mapping[str, Verdict]) -> None:
        history = self._labels[name].get(key, {})
        if len(history) > LONG_RECORDS and len(history) % LONG_EVERY:
            return  # checked at every 16th record, and at the end
        judged = ownership(history.values())
        if owner != judged.owner:
            owners = f"{_short(owner)} by the node, {_short(judged.owner)} by the oracle"
            self._on_violation(name, f"the owner of {key[1]} differs: {owners}")
        chain = frozenset(judged.chain)
        for record_id, verdict in verdicts.items():
            if record_id in history and verdict.is_accepted is not (record_id in chain):
                self._on_violation(name, f"record {record_id[:8]} of {key[1]} is {verdict}, and the oracle disagrees")


def _short(key: str | None) -> str:
    return "nobody" if key is None else key[:8]
