"""Links that keep order, break with their ends, and carry what gossip and membership decide."""

import gc
import weakref
from random import Random

import pytest

from simulations.broadcast.experiments import freeze, thawed
from simulations.broadcast.network import Conditions, GossipNetwork

SOME_SPREAD = Conditions(latency_ms_min=10, latency_ms_max=100)


def grown(nodes: int, conditions: Conditions = SOME_SPREAD, seed: int = 1) -> GossipNetwork:
    network = GossipNetwork(conditions, Random(seed))
    for _ in range(nodes):
        network.join()
        network.run_for(0.002)
    network.run_for(90)
    return network


def record(number: int) -> str:
    return f"{number:064x}"


def test_both_ends_of_a_link_know_it_by_one_name() -> None:
    network = grown(60)

    for node in network.nodes:
        assert list(map(int, node.membership.active)) == list(node.neighbours)
        for neighbour, link in node.neighbours.items():
            assert network.nodes[neighbour].neighbours[node.index] == link


@pytest.mark.parametrize("conditions", [Conditions(), SOME_SPREAD])
def test_every_node_gets_a_record_and_the_second_one_crosses_each_once(conditions: Conditions) -> None:
    network = grown(150, conditions)

    tallies = []
    for number in range(4):
        tallies.append(network.write(network.nodes[0], record(number)))
        network.run_for(5)

    assert [tally.delivered for tally in tallies] == [150] * 4
    assert tallies[0].payload > 2 * 149
    assert sum(tally.payload for tally in tallies[1:]) <= 1.05 * 3 * 149, "a link that is new may carry one too many"


def test_a_record_takes_at_least_its_latency_for_each_hop() -> None:
    network = grown(60, Conditions(latency_ms_min=50, latency_ms_max=50))

    tally = network.write(network.nodes[0], record(1))
    network.run_for(5)

    assert tally.last_ms - tally.begun_ms == 50 * tally.last_hop


def test_nobody_keeps_a_link_to_the_dead() -> None:
    network = grown(80)

    network.kill(network.nodes[:30])
    network.run_for(1)

    assert all(neighbour >= 30 for node in network.living() for neighbour in node.neighbours)


def test_a_record_reaches_all_that_live_though_most_die_while_it_leaves() -> None:
    network = grown(200)
    for number in range(3):
        network.write(network.nodes[-1], record(number))
        network.run_for(5)

    network.kill(network.nodes[:140])
    tally = network.write(network.nodes[-1], record(99))
    network.run_for(30)

    assert tally.delivered == 60


def test_what_a_newcomer_is_told_of_earlier_records_does_not_count_for_the_broadcast_under_way() -> None:
    network = grown(20)
    network.write(network.nodes[0], record(1))
    network.run_for(5)

    newcomer = network.join()
    tally = network.write(network.nodes[0], record(2))
    network.run_for(20)

    assert all(record(number) in newcomer.gossip for number in (1, 2))
    assert tally.delivered == 21


def test_a_node_does_what_is_due_when_it_said_so() -> None:
    network = grown(40)

    network.kill(network.nodes[:20])
    for _ in range(600):
        network.run_for(0.1)
        assert all(node.membership.next_at >= network.now - 0.001 for node in network.living())


def test_trees_are_forgotten_and_neighbours_kept() -> None:
    network = grown(60)
    network.write(network.nodes[0], record(1))
    network.run_for(5)
    neighbours = [list(node.neighbours) for node in network.nodes]

    network.restart_gossip(network.conditions.gossip)
    kept = [list(node.neighbours) for node in network.nodes]
    tally = network.write(network.nodes[0], record(1))
    network.run_for(5)

    assert kept == neighbours
    assert tally.delivered == 60
    assert tally.payload > 2 * 59, "the first broadcast is a flood again"


def test_what_is_under_way_when_trees_are_forgotten_is_lost() -> None:
    """Else it would be spread anew among nodes that forgot it, and count for the next broadcast."""
    network = grown(60)
    network.write(network.nodes[0], record(1))

    network.restart_gossip(network.conditions.gossip)
    network.run_for(5)

    assert not any(record(1) in node.gossip for node in network.nodes)


def test_a_thawed_network_goes_on_as_the_frozen_one_does() -> None:
    network = grown(60)

    with thawed(freeze(network)) as copy:
        outcomes = [outcome(each) for each in (network, copy)]

    assert outcomes[0] == outcomes[1]


def outcome(network: GossipNetwork) -> tuple[int | float, ...]:
    tally = network.write(network.nodes[7], record(1))
    network.run_for(40)
    return tally.payload, tally.control, tally.last_hop, network.wheel.events, network.random.random()


def test_a_network_that_ended_leaves_the_memory() -> None:
    gc.collect()
    gc.disable()
    try:
        network = grown(30)
        gone = weakref.ref(network)
        network.end()
        del network

        assert gone() is None
    finally:
        gc.enable()
