"""A machine whose disk fails goes on as far as a machine without its node can."""

import asyncio

from simulations.cluster import Cluster
from simulations.world.simulation import Simulation


def test_a_disk_that_begins_to_fail_keeps_a_peer_out_and_ends_no_run() -> None:
    """The disk works when the operator adds the peer, and fails before the peer is written (seed 7783006)."""
    cluster = Cluster(Simulation(1))

    async def main() -> None:
        machine = await cluster.add("a")
        adding = asyncio.create_task(machine.trust(cluster.user("mallory").key.public))
        await asyncio.sleep(0)
        machine.disk.is_failing = True
        await adding
        machine.disk.is_failing = False
        assert await machine.running.peers.list() == []
        await cluster.close()

    cluster.simulation.run(main())
