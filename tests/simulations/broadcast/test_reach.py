"""Which nodes a broadcast can reach at all: those that know a reached node, or that a reached node knows."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from protocol.gossip.hyparview import Shuffle
from simulations.broadcast.network import Conditions, GossipNode
from simulations.broadcast.reach import largest_group

NODES = 12
DEAD = 99
"""The index of a node that is not among the living."""


def nodes_that_know(pairs: list[tuple[int, int]]) -> list[GossipNode]:
    """Nodes without neighbours. In each pair the first node has the second one in its passive view."""
    random = Random(1)
    nodes = [GossipNode(index, Conditions(), random, now=0.0) for index in range(NODES)]
    for one, other in pairs:
        nodes[one].membership.on_message("x", Shuffle(str(other), 1, ()), 0.0)
    return nodes


def test_a_group_is_connected_by_what_either_of_two_nodes_knows_and_not_by_dead_nodes() -> None:
    nodes = nodes_that_know([(0, 1), (2, 1), (3, DEAD), (4, DEAD), (5, 6)])

    assert largest_group(nodes) == len({0, 1, 2})


def test_a_node_that_knows_no_node_and_that_no_node_knows_is_alone() -> None:
    assert largest_group(nodes_that_know([])) == 1


@given(st.lists(st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1))))
def test_the_largest_group_is_the_largest_that_walks_from_every_node_find(pairs: list[tuple[int, int]]) -> None:
    near = {index: {index} for index in range(NODES)}
    for one, other in pairs:
        near[one].add(other)
        near[other].add(one)

    largest = 0
    for begin in range(NODES):
        found, ahead = {begin}, [begin]
        while ahead:
            new = near[ahead.pop()] - found
            found |= new
            ahead += new
        largest = max(largest, len(found))

    assert largest_group(nodes_that_know(pairs)) == largest
