"""Which nodes a broadcast can reach at all after many nodes failed at once.

A node that knows only dead addresses can open no connection. A node that no living node knows gets no connection. So
whatever the protocol does, a record stays in a group of nodes of which, for each connection, one knows the other.
"""

from collections.abc import Sequence

from simulations.broadcast.network import GossipNode


def largest_group(living: Sequence[GossipNode]) -> int:
    """The size of the largest group. A node knows the addresses of its active and its passive view."""
    parents = {node.address: node.address for node in living}
    for node in living:
        for address in (*node.membership.active, *node.membership.passive):
            if address in parents:
                parents[_root(parents, address)] = _root(parents, node.address)
    sizes = dict.fromkeys(parents, 0)
    for address in parents:
        sizes[_root(parents, address)] += 1
    return max(sizes.values())


def _root(parents: dict[str, str], address: str) -> str:
    """The root of the address's tree, which stands for its group (disjoint sets: Galler and Fischer, 1964). Halves the
    paths that it follows.
    """
    while parents[address] != address:
        parents[address] = address = parents[parents[address]]
    return address
