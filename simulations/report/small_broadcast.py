"""Broadcasts whose every delivery is kept, over so few nodes that a picture can show them.

The network is that of the experiments, with the same conditions and the same seed. In addition, it keeps which node got
the record when, and from which neighbour.
"""

from random import Random
from typing import Final

from protocol.gossip.plumtree import SendRecords
from simulations.broadcast.experiments import FAILURE_CYCLE_S, JOIN_GAP_S, STABLE_CYCLE_S, WARM_UP_S, Experiment
from simulations.broadcast.network import GossipNetwork, GossipNode
from simulations.report.spread import Spread, SpreadStep, Topology
from simulations.report.words import count

DRAWN_NODES_MAX: Final = 24
"""Nodes of a network that is drawn."""

COUNTED_NODES_MAX: Final = 1_000
"""Nodes of a network whose delays are shown as a chart."""

GROWING_BROADCASTS: Final = 5
"""Broadcasts after which the tree no longer changes."""

FAILED_SHARE: Final = 0.3
"""The share of nodes that fail before the last broadcast."""


class _WatchedNetwork(GossipNetwork):
    """Keeps the first copy that each node gets of the current broadcast."""

    steps: list[SpreadStep]
    begun_ms: int

    def watch_broadcast(self, sender: GossipNode, number: int, seconds: float) -> list[SpreadStep]:
        """Write record `number` at this node. Returns the first copies at all nodes, in the order of time."""
        self.steps, self.begun_ms = [SpreadStep(sender.index, 0.0)], self.wheel.now_ms
        self.write(sender, f"{number:064x}")
        self.run_for(seconds)
        return self.steps

    def _on_push(self, node: GossipNode, push: SendRecords) -> None:
        if self.tally.record_id in push.ids and self.tally.record_id not in node.gossip:
            source = node.links[push.link][0]
            self.steps.append(SpreadStep(node.index, (self.wheel.now_ms - self.begun_ms) / 1_000, source))
        super()._on_push(node, push)


def broadcast_delays_s(plan: Experiment) -> tuple[int, list[float]]:
    """The number of nodes, and after how many seconds each node but the sender got the broadcast, in rising order."""
    network = _join_nodes(plan, min(plan.nodes, COUNTED_NODES_MAX))
    steps = _grow_tree(network)
    return len(network.nodes), [it.after_s for it in steps[1:]]


def drawn_broadcasts(plan: Experiment) -> tuple[Topology, list[Spread]]:
    """A few nodes with their first links, and three broadcasts: a flood, one along the tree, and one after failures."""
    network = _join_nodes(plan, min(plan.nodes, DRAWN_NODES_MAX))
    nodes = network.nodes
    edges = sorted({(min(it.index, other), max(it.index, other)) for it in nodes for other in it.neighbours})
    flood = network.watch_broadcast(nodes[0], 0, STABLE_CYCLE_S)
    tree = _grow_tree(network)
    failed = network.random.sample(nodes[1:], round(FAILED_SHARE * len(nodes)))
    network.kill(failed)
    after = network.watch_broadcast(nodes[0], GROWING_BROADCASTS + 1, FAILURE_CYCLE_S)
    spreads = [
        Spread(f"the first, a flood: {count(len(flood), 'node')}", flood),
        Spread(f"along the tree: {count(len(tree), 'node')}", tree),
        Spread(f"after {len(failed)} of {len(nodes)} failed: {count(len(after), 'node')}", after),
    ]
    return Topology([it.address for it in nodes], edges), spreads


def _join_nodes(plan: Experiment, nodes: int) -> _WatchedNetwork:
    network = _WatchedNetwork(plan.conditions, Random(plan.seed))
    for _ in range(nodes):
        network.join()
        network.run_for(JOIN_GAP_S)
    network.run_for(WARM_UP_S)
    return network


def _grow_tree(network: _WatchedNetwork) -> list[SpreadStep]:
    """Broadcast until the tree no longer changes. Returns the steps of the last broadcast."""
    steps: list[SpreadStep] = []
    for number in range(1, GROWING_BROADCASTS + 1):
        steps = network.watch_broadcast(network.nodes[0], number, STABLE_CYCLE_S)
    return steps
