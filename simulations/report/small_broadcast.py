"""Broadcasts of which every delivery is kept: over few enough nodes to be drawn, or counted one by one.

The network is the one of the experiments, with the same conditions and seed; only who is reached, when and by whom is
written down.
"""

from random import Random
from typing import Final

from protocol.gossip.plumtree import SendRecords
from simulations.broadcast.experiments import FAILURE_CYCLE_S, JOIN_GAP_S, STABLE_CYCLE_S, WARM_UP_S, Experiment
from simulations.broadcast.network import GossipNetwork, GossipNode
from simulations.report.spread import Spread, SpreadStep, Topology
from simulations.report.words import count

DRAWN_NODES_MAX: Final = 24
COUNTED_NODES_MAX: Final = 1_000
GROWING: Final = 5
"""Broadcasts from the flood to the one along the tree."""

FAILED_SHARE: Final = 0.3


class _WatchedNetwork(GossipNetwork):
    """Keeps the first copy that each node gets of the broadcast that is under way."""

    steps: list[SpreadStep]
    begun_ms: int

    def watched(self, sender: GossipNode, number: int, seconds: float) -> list[SpreadStep]:
        """Write a record there, and give every first copy of it in the order of time."""
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
    """How many nodes there are, and when each but the sender had the broadcast, in rising order."""
    network = _joined(plan, min(plan.nodes, COUNTED_NODES_MAX))
    steps = _grown(network)
    return len(network.nodes), [it.after_s for it in steps[1:]]


def drawn_broadcasts(plan: Experiment) -> tuple[Topology, list[Spread]]:
    """A few nodes as they are linked at first, and three broadcasts."""
    network = _joined(plan, min(plan.nodes, DRAWN_NODES_MAX))
    nodes = network.nodes
    edges = sorted({(min(it.index, other), max(it.index, other)) for it in nodes for other in it.neighbours})
    flood = network.watched(nodes[0], 0, STABLE_CYCLE_S)
    tree = _grown(network)
    failed = network.random.sample(nodes[1:], round(FAILED_SHARE * len(nodes)))
    network.kill(failed)
    after = network.watched(nodes[0], GROWING + 1, FAILURE_CYCLE_S)
    spreads = [
        Spread(f"the first, a flood: {count(len(flood), 'node')}", flood),
        Spread(f"along the tree: {count(len(tree), 'node')}", tree),
        Spread(f"after {len(failed)} of {len(nodes)} failed: {count(len(after), 'node')}", after),
    ]
    return Topology([it.address for it in nodes], edges), spreads


def _joined(plan: Experiment, nodes: int) -> _WatchedNetwork:
    network = _WatchedNetwork(plan.conditions, Random(plan.seed))
    for _ in range(nodes):
        network.join()
        network.run_for(JOIN_GAP_S)
    network.run_for(WARM_UP_S)
    return network


def _grown(network: _WatchedNetwork) -> list[SpreadStep]:
    """The last of some broadcasts, which goes along the tree that the others left."""
    steps: list[SpreadStep] = []
    for number in range(1, GROWING + 1):
        steps = network.watched(network.nodes[0], number, STABLE_CYCLE_S)
    return steps
