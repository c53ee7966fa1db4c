"""Play a plan: make the network, let faults and users loose, then let it be quiet, and look.

First everything may go wrong, and nothing false may happen. Then the faults are over, every machine is up, and within
the plan's time the network has to become one (TigerBeetle calls the two phases safety and liveness); after that, the
comparisons that nodes repeat must find nothing more.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from simulations.cluster import Cluster
from simulations.run_result import RunResult, observe
from simulations.swarm.faults import inflict
from simulations.swarm.plan import FaultKind, Plan
from simulations.swarm.workload import carry_out_all
from simulations.world.simulation import Simulation

QUIET_S: Final = 5.0
"""After the faults, until the nodes' own errors count: what a fault left behind ends within it."""

REPAIRS_S: Final = 70.0
"""After the network is one: longer than the longest interval between two repairs that a plan draws."""

_DISK_FAULTS: Final = (FaultKind.DISK_ERROR, FaultKind.DISK_FULL)
"""After these a node is right to log errors."""


def play(plan: Plan, *, with_lines: bool = False, watch: Callable[[Cluster], None] | None = None) -> RunResult:
    """Run the plan to its end. `watch` is called with the cluster while it is empty."""
    cluster = Cluster(Simulation(plan.seed, plan.weather))
    if watch is not None:
        watch(cluster)
    excused = {name for fault in plan.faults if fault.kind in _DISK_FAULTS for name in fault.machines}
    return observe(cluster, _all(cluster, plan), excused, with_lines=with_lines)


async def _all(cluster: Cluster, plan: Plan) -> None:
    await _build(cluster, plan)
    async with asyncio.TaskGroup() as group:
        for fault in plan.faults:
            group.create_task(inflict(cluster, fault))
        group.create_task(carry_out_all(cluster, plan.acts))
    await _calm(cluster, plan)
    await cluster.settle(plan.settle_s)
    await _stay_one(cluster)
    cluster.checkers.check_acknowledged(cluster.machines)
    cluster.checkers.check_stores(cluster.machines)
    await cluster.checkers.check_heads(cluster.machines)
    await cluster.close()


async def _build(cluster: Cluster, plan: Plan) -> None:
    for node in plan.nodes:
        machine = await cluster.add(node.name, offset_s=node.offset_s, drift=node.drift, **node.settings)
        machine.disk.latency_s = node.disk_latency_s
    for tie in plan.ties:
        dialler, acceptor = cluster.machines[tie.dialler], cluster.machines[tie.acceptor]
        await cluster.link(dialler, acceptor, push=tie.push, pull=tie.pull, scheme=tie.scheme)


async def _calm(cluster: Cluster, plan: Plan) -> None:
    """Faults are over: all wires whole, all machines up, and the time of the plan past."""
    cluster.heal()
    for machine in cluster.machines.values():
        await machine.start()
    loop = asyncio.get_running_loop()
    await asyncio.sleep(max(QUIET_S, plan.active_s - loop.time()))
    cluster.note("calm")


async def _stay_one(cluster: Cluster) -> None:
    """Whatever nodes compare from now on is the same; an answer under way may still tell of the time before."""
    await asyncio.sleep(QUIET_S)
    before = cluster.repaired_records()
    await asyncio.sleep(REPAIRS_S)
    found = cluster.repaired_records() - before
    if found > 0 and not cluster.missing():
        cluster.checkers.on_violation("", f"repairs found {found} records after all nodes held the same")
