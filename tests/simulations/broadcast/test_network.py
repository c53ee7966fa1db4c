"""Links keep order, break when an end fails, and carry what gossip and membership decide."""

import gc
import weakref
from random import Random

import pytest

from simulations.broadcast.experiments import freeze, thawed
from simulations.broadcast.network import Conditions, GossipNetwork

VARYING_LATENCY = Conditions(latency_ms_min=10, latency_ms_max=100)

JOIN_GAP_S = 0.002
WARM_UP_S = 90.0

SPREAD_S = 5.0
"""Time in which a broadcast reaches all nodes while no node fails."""

REPAIR_S = 30.0
"""Time in which the tree is repaired after failures."""


def grown(nodes: int, conditions: Conditions = VARYING_LATENCY, seed: int = 1) -> GossipNetwork:
    """A network of this many nodes, all of which have joined."""
    network = GossipNetwork(conditions, Random(seed))
    for _ in range(nodes):
        network.join()
        network.run_for(JOIN_GAP_S)
    network.run_for(WARM_UP_S)
    return network


def record(number: int) -> str:
    return f"{number:064x}"


def test_both_ends_of_a_link_use_the_same_number_for_it() -> None:
    network = grown(60)

    for node in network.nodes:
        assert list(map(int, node.membership.active)) == list(node.neighbours)
        for neighbour, link in node.neighbours.items():
            assert network.nodes[neighbour].neighbours[node.index] == link


@pytest.mark.parametrize("conditions", [Conditions(), VARYING_LATENCY])
def test_every_node_gets_a_record_and_from_the_second_record_on_only_once(conditions: Conditions) -> None:
    nodes, broadcasts = 150, 4
    network = grown(nodes, conditions)

    tallies = []
    for number in range(broadcasts):
        tallies.append(network.write(network.nodes[0], record(number)))
        network.run_for(SPREAD_S)

    needed = nodes - 1
    most = 1.05 * needed * (broadcasts - 1)
    assert [tally.delivered for tally in tallies] == [nodes] * broadcasts
    assert tallies[0].payload > 2 * needed
    assert sum(tally.payload for tally in tallies[1:]) <= most, "a new link may carry one copy too many"


def test_a_record_takes_exactly_one_latency_for_each_hop_if_all_latencies_are_equal() -> None:
    latency_ms = 50
    network = grown(60, Conditions(latency_ms_min=latency_ms, latency_ms_max=latency_ms))

    tally = network.write(network.nodes[0], record(1))
    network.run_for(SPREAD_S)

    assert tally.last_ms - tally.begun_ms == latency_ms * tally.last_hop


def test_no_living_node_keeps_a_link_to_a_dead_node() -> None:
    dead = 30
    network = grown(80)

    network.kill(network.nodes[:dead])
    network.run_for(1)

    assert all(neighbour >= dead for node in network.living() for neighbour in node.neighbours)


def test_a_record_reaches_all_living_nodes_even_if_most_nodes_fail_at_the_moment_it_is_written() -> None:
    nodes, dead = 200, 140
    network = grown(nodes)
    for number in range(3):
        network.write(network.nodes[-1], record(number))
        network.run_for(SPREAD_S)

    network.kill(network.nodes[:dead])
    tally = network.write(network.nodes[-1], record(99))
    network.run_for(REPAIR_S)

    assert tally.delivered == nodes - dead


def test_earlier_records_that_a_new_node_is_sent_do_not_count_for_the_current_broadcast() -> None:
    nodes = 20
    network = grown(nodes)
    network.write(network.nodes[0], record(1))
    network.run_for(SPREAD_S)

    new_node = network.join()
    tally = network.write(network.nodes[0], record(2))
    network.run_for(REPAIR_S)

    assert all(record(number) in new_node.gossip for number in (1, 2))
    assert tally.delivered == nodes + 1


def test_the_timer_of_a_node_fires_when_its_membership_asks_for_it() -> None:
    step_s, slot_s = 0.1, 0.001
    network = grown(40)

    network.kill(network.nodes[:20])
    for _ in range(600):
        network.run_for(step_s)
        assert all(node.membership.next_at >= network.now - slot_s for node in network.living())


def test_a_restart_of_gossip_forgets_trees_and_keeps_neighbours() -> None:
    nodes = 60
    network = grown(nodes)
    network.write(network.nodes[0], record(1))
    network.run_for(SPREAD_S)
    neighbours = [list(node.neighbours) for node in network.nodes]

    network.restart_gossip(network.conditions.gossip)
    kept = [list(node.neighbours) for node in network.nodes]
    tally = network.write(network.nodes[0], record(1))
    network.run_for(SPREAD_S)

    assert kept == neighbours
    assert tally.delivered == nodes
    assert tally.payload > 2 * (nodes - 1), "the first broadcast is a flood again"


def test_messages_on_their_way_are_lost_when_gossip_restarts() -> None:
    """Otherwise nodes that have forgotten a record would spread it again, and it would count for the next broadcast."""
    network = grown(60)
    network.write(network.nodes[0], record(1))

    network.restart_gossip(network.conditions.gossip)
    network.run_for(SPREAD_S)

    assert not any(record(1) in node.gossip for node in network.nodes)


def test_a_thawed_network_goes_on_exactly_as_the_frozen_one() -> None:
    network = grown(60)

    with thawed(freeze(network)) as copy:
        figures = [go_on(each) for each in (network, copy)]

    assert figures[0] == figures[1]


def go_on(network: GossipNetwork) -> tuple[int | float, ...]:
    """Broadcast once more. Returns everything that two equal networks must have in common."""
    tally = network.write(network.nodes[7], record(1))
    network.run_for(REPAIR_S)
    return tally.payload, tally.control, tally.last_hop, network.wheel.events, network.random.random()


def test_a_network_that_has_ended_leaves_the_memory_without_the_garbage_collector() -> None:
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
