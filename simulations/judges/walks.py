"""The state of every witnessed label, and every verdict in it, are those of the oracle."""

from collections.abc import Mapping
from typing import Final

from node.store.contract import Batch
from protocol.records.replay import State, Verdict
from simulations.cast.machine import Machine
from simulations.judges.violation import OnViolation
from simulations.judges.witnessed_oracle import Told

_SHOWN: Final = 8
"""Characters of an id in a message."""


class WalkJudge:
    """Knows the verdicts and states that each node has committed."""

    def __init__(self, on_violation: OnViolation, domain: str) -> None:
        self._on_violation = on_violation
        self._domain = domain
        self._verdicts: dict[str, dict[str, Verdict]] = {}
        self._states: dict[str, dict[str, State]] = {}

    def on_start(self, machine: Machine) -> None:
        """A node starts with what is on its disk."""
        self._verdicts[machine.name] = stored_verdicts(machine, self._domain)
        self._states[machine.name] = {}

    def on_commit(self, name: str, batch: Batch) -> None:
        """A node committed this batch."""
        verdicts = self._verdicts[name]
        verdicts |= {stored.signed.record.id: stored.verdict for stored in batch.records}
        verdicts |= batch.verdicts
        self._states[name] |= {
            label: state for (domain, label), state in batch.states.items() if domain == self._domain
        }

    def check(self, name: str, told: Mapping[str, Told]) -> None:
        """Check the verdicts and the states that a node has committed."""
        for label, each in told.items():
            self._check_verdicts(name, label, each, self._verdicts[name])
            state = self._states[name].get(label)
            if state is None:
                continue  # not written since the node started
            head = each.chain[-1] if each.chain else None
            final = each.chain[each.final - 1] if each.final else None
            if (state.tip and state.tip.id, state.final) != (head, final):
                self._on_violation(name, f"the head of {label}, or its last final record, is not that of the oracle")

    async def check_stored(self, machine: Machine, told: Mapping[str, Told]) -> None:
        """Check what is on the disk, and the heads that the node shows."""
        verdicts = stored_verdicts(machine, self._domain)
        for label, each in told.items():
            self._check_verdicts(machine.name, label, each, verdicts)
            shown = await machine.running.heads.get(self._domain, label)
            if (shown and shown.id) != (each.chain[-1] if each.chain else None):
                self._on_violation(machine.name, f"the shown head of {label} is not that of the oracle")
            elif shown is not None and shown.certainty != ("final" if each.final == len(each.chain) else "ordered"):
                self._on_violation(machine.name, f"the head of {label} is shown as {shown.certainty}")

    def _check_verdicts(self, name: str, label: str, told: Told, verdicts: Mapping[str, Verdict]) -> None:
        for record_id, verdict in told.verdicts.items():
            if verdicts.get(record_id) != verdict:
                words = f"record {record_id[:_SHOWN]} of {label} is {verdicts.get(record_id)}, by the oracle {verdict}"
                self._on_violation(name, words)


def stored_verdicts(machine: Machine, domain: str) -> dict[str, Verdict]:
    """The verdicts on the disk of a machine on all records of this domain."""
    return {
        past.record.id: past.verdict
        for (of_domain, _), history in machine.disk.histories().items()
        for past in history
        if of_domain == domain
    }
