"""What a scenario is: a name, what it expects in a sentence or two, and a function that does it to a cluster.

    async def rival_founders(cluster: Cluster) -> None:
        a, b = await cluster.add_line("a", "b")
        ...

A scenario makes its machines, does what it is about, and says what must be so by `cluster.expect`. After it all wires
are made whole, the network has to become one, and everything in `checkers` has held all the while.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from simulations.cluster import Cluster
from simulations.run_result import RunResult, observe
from simulations.world.simulation import Simulation
from simulations.world.wire import Weather

FAIR: Final = Weather(latency_s=0.02, jitter_s=0.005)


class Scenario(msgspec.Struct, frozen=True):
    """`run` gets an empty cluster in this weather. `excused` machines may log errors: it is their disk that fails."""

    name: str
    expects: str
    run: Callable[[Cluster], Awaitable[None]]
    weather: Weather = FAIR
    excused: tuple[str, ...] = ()


def perform(
    scenario: Scenario, seed: object = 1, *, with_lines: bool = False, watch: Callable[[Cluster], None] | None = None
) -> RunResult:
    """Do the whole scenario. `watch` is called with the cluster while it is empty."""
    cluster = Cluster(Simulation(f"{scenario.name} {seed}", scenario.weather))
    if watch is not None:
        watch(cluster)
    return observe(cluster, _whole(cluster, scenario), scenario.excused, with_lines=with_lines)


async def _whole(cluster: Cluster, scenario: Scenario) -> None:
    await scenario.run(cluster)
    cluster.heal()
    for machine in cluster.machines.values():
        await machine.start()
    await cluster.settle()
    cluster.checkers.check_acknowledged(cluster.machines)
    cluster.checkers.check_stores(cluster.machines)
    await cluster.checkers.check_heads(cluster.machines)
    await cluster.close()
