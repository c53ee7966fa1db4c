"""Whom a broadcast can reach at all: whoever is known to one that is reached, or knows it."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from protocol.gossip.hyparview import Shuffle
from simulations.broadcast.network import Conditions, GossipNode
from simulations.broadcast.reach import largest_group

NODES = 12


def nodes_that_know(pairs: list[tuple[int, int]], count: int = NODES) -> list[GossipNode]:
    """Nodes without neighbours; in each pair the first has the second in its passive view."""
    random = Random(1)
    nodes = [GossipNode(index, Conditions(), random, now=0.0) for index in range(count)]
    for one, other in pairs:
        nodes[one].membership.on_message("x", Shuffle(str(other), 1, ()), 0.0)
    return nodes


def test_nodes_hang_together_by_what_either_of_two_knows_and_not_by_the_dead() -> None:
    nodes = nodes_that_know([(0, 1), (2, 1), (3, 99), (4, 99), (5, 6)])

    assert largest_group(nodes) == 3


def test_who_knows_nobody_and_is_known_to_nobody_is_alone() -> None:
    assert largest_group(nodes_that_know([])) == 1


@given(st.lists(st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1))))
def test_the_largest_group_is_what_a_walk_finds_at_most(pairs: list[tuple[int, int]]) -> None:
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
