"""Checkers: they watch every node of a run, and ask each judge after every commit.

Each invariant has a module of its own, but for genuine signatures, which are one line here. Genuine signatures,
`durability`, `ownership`, `limits` and `tree` hold always, whatever happens. `convergence` holds at the end, after the
faults. Witnessed domains have judges of their own, in `council`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from node.node import Node
from node.store.contract import Batch
from simulations.cast.council import Council
from simulations.cast.machine import Machine
from simulations.cast.user import Acknowledgement
from simulations.judges.council import CouncilJudges
from simulations.judges.durability import DurabilityJudge
from simulations.judges.limits import check_limits
from simulations.judges.ownership import OwnershipJudge
from simulations.judges.tree import TreeJudge
from simulations.judges.usage import check_usage
from simulations.world.simulation import Simulation

VIOLATIONS_KEPT: Final = 50

LIMITS_EVERY: Final = 16
"""Commits of the run between two checks of all queues."""


class Checkers:
    """Watches every node of a run. `violations`: each invariant that did not hold, with the time and the machine."""

    def __init__(self, simulation: Simulation, acknowledgements: Sequence[Acknowledgement]) -> None:
        """`acknowledgements`: every one that a user got. The list grows during the run."""
        self.violations: list[str] = []
        self.commits = 0
        self._simulation = simulation
        self._durability = DurabilityJudge(self.on_violation, acknowledgements)
        self._ownership = OwnershipJudge(self.on_violation)
        self._tree = TreeJudge(self.on_violation)
        self._councils: list[CouncilJudges] = []

    def convene(self, council: Council) -> CouncilJudges:
        """Watch the domain of this council, too. Called before a machine starts."""
        judges = CouncilJudges(self.on_violation, council)
        self._councils.append(judges)
        return judges

    def watch(self, machine: Machine, node: Node) -> None:
        """Check a node that starts, and each of its commits from now on."""
        name = machine.name
        there = {signed.record.id: signed.record for signed in machine.disk.records()}
        self._durability.on_start(machine, there)
        self._ownership.on_start(name, there)
        self._tree.watch(name, node)
        for council in self._councils:
            council.on_start(machine, there)
        node.commits.watchers.append(lambda committed: self._on_commit(machine, node, committed.batch))

    def on_restore(self, machine: Machine, backup_s: float, now_s: float) -> None:
        """The operator restores a backup that was made at `backup_s`. Both times are on the loop's clock."""
        self._durability.on_restore(machine, backup_s, now_s)
        for council in self._councils:
            council.on_restore(machine.name)

    def on_drop(self, machine: Machine, domain: str) -> None:
        """The operator drops a domain."""
        self._durability.on_drop(machine, domain)

    def check_acknowledged(self, machines: Mapping[str, Machine]) -> None:
        """Check that every acknowledged record is on the node that acknowledged it."""
        self._durability.check_acknowledged(machines)

    def check_stores(self, machines: Mapping[str, Machine]) -> None:
        """Check that every verdict on every disk is the oracle's."""
        self._ownership.check_stores(machines)

    async def check_heads(self, machines: Mapping[str, Machine]) -> None:
        """Check that the head of a label that a node shows is the last record of the oracle's chain."""
        await self._ownership.check_heads(machines)

    async def check_usage(self, machines: Mapping[str, Machine]) -> None:
        """Check that every node counts what is on its disk."""
        await check_usage(machines, self.on_violation)

    def on_violation(self, where: str, words: str) -> None:
        """An invariant did not hold."""
        self._simulation.trace.note(where, "FAULT", words=words)
        if len(self.violations) < VIOLATIONS_KEPT:
            self.violations.append(f"{self._simulation.loop.time():.3f} s, {where}: {words}")

    async def check_councils(self, machines: Mapping[str, Machine]) -> None:
        """Check what witnesses decided, on all nodes, which hold the same records."""
        for council in self._councils:
            await council.check_end(machines)

    def _on_commit(self, machine: Machine, node: Node, batch: Batch) -> None:
        name = machine.name
        self.commits += 1
        for stored in batch.records:
            if not self._simulation.verdicts.is_genuine(stored.signed):
                self.on_violation(name, f"record {stored.signed.record.id[:8]} is committed with a bad signature")
        self._durability.on_commit(name, [stored.signed.record for stored in batch.records])
        self._simulation.trace.mix(name, [stored.signed.record.id for stored in batch.records])
        self._ownership.on_commit(name, batch)
        for council in self._councils:
            council.on_commit(machine, batch)
        if self.commits % LIMITS_EVERY == 0:
            check_limits(name, node, self.on_violation)
