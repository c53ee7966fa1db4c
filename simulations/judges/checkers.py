"""Checkers: watch every node of a run, and ask each judge after every commit.

Each judge is one invariant in a module of its own: `authenticity` (here, one line), `durability`, `ownership` and
`limits` hold always, whatever happens; `convergence` holds in the end, once the faults are over.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from node.node import Node
from node.store.contract import Batch
from simulations.cast.machine import Machine
from simulations.cast.user import Acknowledgement
from simulations.judges.durability import DurabilityJudge
from simulations.judges.limits import check_limits
from simulations.judges.ownership import OwnershipJudge
from simulations.world.simulation import Simulation

VIOLATIONS_KEPT: Final = 50

LIMITS_EVERY: Final = 16
"""Commits between two looks at all queues."""


class Checkers:
    """Watches every node of a run. `faults` says what did not hold, in words, with the time and the place."""

    def __init__(self, simulation: Simulation, acknowledgements: Sequence[Acknowledgement]) -> None:
        """`acknowledgements` grows while the run goes on."""
        self.violations: list[str] = []
        self.commits = 0
        self._simulation = simulation
        self._durability = DurabilityJudge(self.on_violation, acknowledgements)
        self._ownership = OwnershipJudge(self.on_violation)

    def watch(self, machine: Machine, node: Node) -> None:
        """Look at a node that starts, and at each of its commits from now on."""
        name = machine.name
        there = {signed.record.id: signed.record for signed in machine.disk.records()}
        self._durability.on_start(machine, there)
        self._ownership.on_start(name, there)
        node.commits.watchers.append(lambda committed: self._on_commit(name, node, committed.batch))

    def on_restore(self, machine: Machine, backup_s: float, now_s: float) -> None:
        """The operator puts back a backup of that time."""
        self._durability.on_restore(machine, backup_s, now_s)

    def check_acknowledged(self, machines: Mapping[str, Machine]) -> None:
        """That what was acknowledged is there, on the node that said so."""
        self._durability.check_acknowledged(machines)

    def check_stores(self, machines: Mapping[str, Machine]) -> None:
        """That every verdict on every disk is the oracle's."""
        self._ownership.check_stores(machines)

    async def check_heads(self, machines: Mapping[str, Machine]) -> None:
        """That what a node shows as head of a label is the last of the oracle's chain."""
        await self._ownership.check_heads(machines)

    def on_violation(self, where: str, words: str) -> None:
        """Something that must hold did not."""
        self._simulation.trace.note(where, "FAULT", words=words)
        if len(self.violations) < VIOLATIONS_KEPT:
            self.violations.append(f"{self._simulation.loop.time():.3f} s, {where}: {words}")

    def _on_commit(self, name: str, node: Node, batch: Batch) -> None:
        self.commits += 1
        for stored in batch.records:
            if not self._simulation.verdicts.is_genuine(stored.signed):
                self.on_violation(name, f"record {stored.signed.record.id[:8]} was taken, and its signature is bad")
        self._durability.on_commit(name, [stored.signed.record for stored in batch.records])
        self._simulation.trace.mix(name, [stored.signed.record.id for stored in batch.records])
        self._ownership.on_commit(name, batch)
        if self.commits % LIMITS_EVERY == 0:
            check_limits(name, node, self.on_violation)
