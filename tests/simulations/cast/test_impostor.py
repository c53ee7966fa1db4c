"""An impostor never waits without end."""

import asyncio

from simulations.cast.mischief import make_mischief, nonsense
from simulations.cluster import Cluster
from simulations.world.simulation import Simulation
from simulations.world.wire import Weather

LATENCY_S = 0.1
CUTS = 12
"""The power is cut half a latency after each step. Connecting and the handshake take fewer steps than this."""

HANG_S = 600.0


def test_the_mischief_ends_whenever_the_machine_loses_its_power() -> None:
    """The impostor waits for the hello of the node, and nobody tells it that the machine is off (seed 9200214)."""
    cluster, hanging = Cluster(Simulation(1, Weather(latency_s=LATENCY_S))), []

    async def main() -> None:
        machine = await cluster.add("a")
        for number in range(CUTS):
            await machine.start()
            mischief = asyncio.create_task(make_mischief(nonsense, cluster.user("mallory"), machine, "garden"))
            await asyncio.sleep((number + 0.5) * LATENCY_S)
            await machine.power_cut()
            await asyncio.wait([mischief], timeout=HANG_S)
            if not mischief.done():
                hanging.append(number)
        await cluster.close()

    cluster.simulation.run(main())
    assert hanging == []
