"""Play a plan: make the network, let faults and users act, then wait until it is quiet, and check it.

In the first phase anything may fail, and no invariant may break. In the second phase the faults are over, every machine
is up, and all nodes must agree within the plan's time. (TigerBeetle's simulator has the same two phases, for safety and
liveness.) After that, the nodes' repairs must find no further records.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from simulations.cluster import Cluster
from simulations.run_result import RunResult, observe
from simulations.swarm.council_workload import carry_out_council, publish_lost_policy, start_liars, steal
from simulations.swarm.faults import inflict
from simulations.swarm.plan import REMOVALS, FaultKind, Plan
from simulations.swarm.workload import carry_out_all
from simulations.world.simulation import Simulation

QUIET_S: Final = 5.0
"""Seconds after the last fault in which its consequences end."""

REPAIRS_S: Final = 70.0
"""Seconds in which every node repairs at least once: more than the longest interval that a plan draws."""

UNDECIDED_S: Final = 60.0
"""Seconds that a run goes on if too few witnesses speak to decide anything."""

_DISK_FAULTS: Final = (FaultKind.DISK_ERROR, FaultKind.DISK_FULL)
"""Faults for which a node rightly logs errors."""


def play(plan: Plan, *, with_lines: bool = False, watch: Callable[[Cluster], None] | None = None) -> RunResult:
    """Run the plan to its end. `with_lines`: the result has the lines of the trace. `watch`: called with the empty
    cluster.
    """
    cluster = Cluster(Simulation(plan.seed, plan.weather))
    if watch is not None:
        watch(cluster)
    excused = {name for fault in plan.faults if fault.kind in _DISK_FAULTS for name in fault.machines}
    return observe(cluster, _play_phases(cluster, plan), excused, with_lines=with_lines)


async def _play_phases(cluster: Cluster, plan: Plan) -> None:
    await _build(cluster, plan)
    liars = start_liars(cluster, plan)
    async with asyncio.TaskGroup() as group:
        for fault in plan.faults:
            group.create_task(inflict(cluster, fault))
        group.create_task(carry_out_all(cluster, plan.acts))
        group.create_task(carry_out_council(cluster, plan))
    await _end_faults(cluster, plan)
    await _end_races(cluster, plan)
    for liar in liars:
        liar.cancel()
    await steal(cluster, plan)
    await cluster.settle(plan.settle_s)
    await _check_repairs(cluster)
    if any(fault.kind in REMOVALS for fault in plan.faults):
        await _check_erased(cluster)
    await cluster.checkers.check_councils(cluster.machines)
    cluster.checkers.check_acknowledged(cluster.machines)
    cluster.checkers.check_stores(cluster.machines)
    await cluster.checkers.check_heads(cluster.machines)
    await cluster.checkers.check_usage(cluster.machines)
    await cluster.close()


async def _build(cluster: Cluster, plan: Plan) -> None:
    if plan.council is not None:
        cluster.convene(plan.council.seats, plan.council.faulty, plan.council.liar_names)
    for node in plan.nodes:
        machine = await cluster.add(node.name, offset_s=node.offset_s, drift=node.drift, **node.settings)
        machine.disk.latency_s = node.disk_latency_s
    for tie in plan.ties:
        dialler, acceptor = cluster.machines[tie.dialler], cluster.machines[tie.acceptor]
        await cluster.link(dialler, acceptor, push=tie.push, pull=tie.pull, scheme=tie.scheme)


async def _end_faults(cluster: Cluster, plan: Plan) -> None:
    """Heal all wires, start all machines, and wait until the plan's active time is over."""
    cluster.heal()
    for machine in cluster.machines.values():
        await machine.start()
    await publish_lost_policy(cluster)
    loop = asyncio.get_running_loop()
    await asyncio.sleep(max(QUIET_S, plan.active_s - loop.time()))
    cluster.note("calm")


async def _end_races(cluster: Cluster, plan: Plan) -> None:
    """Wait until every race in the witnessed domain is over, if so many witnesses speak that it has to be."""
    if cluster.judges is None:
        return
    await cluster.settle(plan.settle_s)
    await asyncio.sleep(QUIET_S)  # a witness that was restored begins to speak
    if cluster.judges.liveness.are_enough(cluster.machines):
        await cluster.end_races(plan.settle_s)
    else:
        await asyncio.sleep(UNDECIDED_S)


async def _check_erased(cluster: Cluster) -> None:
    """Check that no link ends because of records that one side erased, and that nobody asks for them again."""
    named, links = cluster.erased_named(), cluster.open_links()
    await asyncio.sleep(REPAIRS_S)
    if cluster.erased_named() > named:
        cluster.checkers.on_violation("", "repairs name erased records again and again")
    for name, number in sorted(links - cluster.open_links()):
        cluster.checkers.on_violation(name, f"link {number} ended, although nothing failed")


async def _check_repairs(cluster: Cluster) -> None:
    """Check that repairs find no further records. Waits first, because a comparison from before may still
    be running.
    """
    await asyncio.sleep(QUIET_S)
    before = cluster.repaired_records()
    await asyncio.sleep(REPAIRS_S)
    found = cluster.repaired_records() - before
    # A node that dropped a domain lacks all of it. Its peers find that once, and are then told so.
    is_any_dropped = any(machine.running.indexes.dropped for machine in cluster.machines.values())
    if found > 0 and not is_any_dropped and not cluster.missing():
        cluster.checkers.on_violation("", f"repairs found {found} records after all nodes held the same")
