"""A scenario: a name, a sentence about what must happen, and a function that plays it on a cluster.

    async def rival_founders(cluster: Cluster) -> None:
        a, b = await cluster.add_line("a", "b")
        ...

A scenario makes its machines, plays its story, and checks what it expects by `cluster.expect`. After it all wires heal,
and all nodes must agree. The checkers watch all the time.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from simulations.cluster import Cluster
from simulations.run_result import RunResult, observe
from simulations.world.simulation import Simulation
from simulations.world.wire import Weather

FAIR: Final = Weather(latency_s=0.02, jitter_s=0.005)
"""The weather of most scenarios."""


class Scenario(msgspec.Struct, frozen=True):
    """`expects`: what must happen. `run`: plays the story on an empty cluster in this weather. `excused`: machines that
    may log errors, because their disk fails.
    """

    name: str
    expects: str
    run: Callable[[Cluster], Awaitable[None]]
    weather: Weather = FAIR
    excused: tuple[str, ...] = ()


def perform(
    scenario: Scenario, seed: object = 1, *, with_lines: bool = False, watch: Callable[[Cluster], None] | None = None
) -> RunResult:
    """Play the scenario and check its end. `with_lines`: the result has the lines of the trace. `watch`: called with
    the empty cluster.
    """
    cluster = Cluster(Simulation(f"{scenario.name} {seed}", scenario.weather))
    if watch is not None:
        watch(cluster)
    return observe(cluster, _play_and_check(cluster, scenario), scenario.excused, with_lines=with_lines)


async def _play_and_check(cluster: Cluster, scenario: Scenario) -> None:
    await scenario.run(cluster)
    cluster.heal()
    for machine in cluster.machines.values():
        await machine.start()
    await cluster.settle()
    cluster.checkers.check_acknowledged(cluster.machines)
    cluster.checkers.check_stores(cluster.machines)
    await cluster.checkers.check_heads(cluster.machines)
    await cluster.checkers.check_councils(cluster.machines)
    await cluster.close()
