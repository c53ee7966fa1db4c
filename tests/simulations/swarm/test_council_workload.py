"""What users do in a witnessed domain comes to an end, or says why it cannot."""

import asyncio

import pytest

from simulations.cluster import Cluster
from simulations.swarm.council_workload import carry_out_council
from simulations.swarm.draw import draw
from simulations.world.simulation import Simulation
from simulations.world.virtual_time import StuckError

WITNESSED_SEED = 22
NOTICED_S = 60.0
"""Longer than a node takes to notice that its disk is full."""


def test_a_policy_that_no_node_takes_ends_the_run_with_the_last_answer() -> None:
    cluster = Cluster(Simulation(1))
    cluster.convene(["a"], 0)

    async def main() -> None:
        machine = await cluster.add("a")
        machine.disk.free = 0
        await asyncio.sleep(NOTICED_S)
        await carry_out_council(cluster, draw(WITNESSED_SEED))

    with pytest.raises(StuckError, match=r"no node took the policy of the council .* at last a answered storage_full"):
        cluster.simulation.run(main())


def test_a_policy_that_meets_only_machines_without_power_ends_the_run() -> None:
    cluster = Cluster(Simulation(1))
    cluster.convene(["a"], 0)

    with pytest.raises(StuckError, match="all machines were down"):
        cluster.simulation.run(carry_out_council(cluster, draw(WITNESSED_SEED)))
