"""Whom a broadcast can reach at all, after many nodes failed at once.

A node all of whose addresses are dead can ask nobody for a connection, and one that no other knows is asked by nobody.
Whatever the protocol does then, a record stays within the nodes that hang together by what either of two knows.
"""

from collections.abc import Sequence

from simulations.broadcast.network import GossipNode


def largest_group(living: Sequence[GossipNode]) -> int:
    """How many nodes are in the largest group that hangs together so; active and passive views count alike."""
    joined = {node.address: node.address for node in living}
    for node in living:
        for address in (*node.membership.active, *node.membership.passive):
            if address in joined:
                joined[_first(joined, address)] = _first(joined, node.address)
    sizes = dict.fromkeys(joined, 0)
    for address in joined:
        sizes[_first(joined, address)] += 1
    return max(sizes.values())


def _first(joined: dict[str, str], address: str) -> str:
    """Who stands for the group (Galler and Fischer, 1964), with the ways to it halved as they are gone."""
    while joined[address] != address:
        joined[address] = address = joined[joined[address]]
    return address
