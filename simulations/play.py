"""Play a plan: make the network, let faults and users loose, then let it be quiet, and look.

First everything may go wrong, and nothing false may happen. Then the faults are over, every machine is up, and within
the plan's time the network has to become one (TigerBeetle calls the two phases safety and liveness); after that, the
comparisons that nodes repeat must find nothing more.
"""

import asyncio
from collections import Counter
from typing import Any, Final

import msgspec

from simulations.cluster import Cluster, NotSettledError
from simulations.faults import befall
from simulations.plan import FaultKind, Plan
from simulations.simulation import Simulation
from simulations.trace import Line
from simulations.virtual_time import StuckError
from simulations.workload import act_all

QUIET_S: Final = 5.0
"""After the faults, until the nodes' own errors count: what a fault left behind ends within it."""


_DISK_FAULTS: Final = (FaultKind.DISK_ERROR, FaultKind.DISK_FULL)
"""After these a node is right to log errors."""


class Outcome(msgspec.Struct, frozen=True):
    """What a run came to. `faults` is empty where all held; the same plan gives the same digest, anywhere."""

    seed: str
    digest: str
    faults: list[str]
    nodes: int
    records: int
    commits: int
    virtual_s: float
    settle_s: float | None
    callbacks: int
    counts: dict[str, int]
    lines: list[Line] = []

    @property
    def is_good(self) -> bool:
        return not self.faults


def play(plan: Plan, *, with_lines: bool = False) -> Outcome:
    """Run the plan to its end."""
    simulation = Simulation(plan.seed, plan.weather)
    cluster = Cluster(simulation)
    settled: list[float] = []
    faults = []
    try:
        simulation.run(_all(cluster, plan, settled))
    except NotSettledError as error:
        faults.append(f"not one network {plan.settle_s:g} s after the faults:\n{error}")
    except StuckError as error:
        faults.append(f"stuck: {error}")
    except Exception as error:
        faults.append(f"the run broke off: {_words(error)}")
    excused = {name for fault in plan.faults if fault.kind in _DISK_FAULTS for name in fault.machines}
    faults += cluster.checkers.faults
    faults += [f"nobody caught: {_caught(fault)}" for fault in simulation.loop.faults]
    faults += [f"{place} logs as an error: {words}" for place, words in simulation.errors if place not in excused]
    return Outcome(
        seed=plan.seed,
        digest=simulation.trace.digest(),
        faults=faults,
        nodes=len(plan.nodes),
        records=len({it.record.id for it in cluster.acknowledgements}),
        commits=cluster.checkers.commits,
        virtual_s=round(simulation.loop.time(), 3),
        settle_s=settled[0] if settled else None,
        callbacks=simulation.loop.callbacks,
        counts=dict(sorted(Counter(simulation.trace.counts).items())),
        lines=list(simulation.trace.lines) if with_lines else [],
    )


async def _all(cluster: Cluster, plan: Plan, settled: list[float]) -> None:
    await _build(cluster, plan)
    async with asyncio.TaskGroup() as group:
        for fault in plan.faults:
            group.create_task(befall(cluster, fault))
        group.create_task(act_all(cluster, plan.acts))
    await _calm(cluster, plan)
    settled.append(await cluster.settle(plan.settle_s))
    cluster.checkers.check_acknowledged(cluster.machines)
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


def _words(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(map(_words, error.exceptions))
    return f"{type(error).__name__}: {error}"


def _caught(fault: dict[str, Any]) -> str:
    error = fault.get("exception")
    return f"{fault['message']}: {_words(error) if error is not None else ''}"
