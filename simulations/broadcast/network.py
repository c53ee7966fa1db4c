"""Many nodes that run gossip and membership only, joined by links that keep order and break when an end fails.

The latency is drawn once for each pair of nodes, so that messages between two nodes arrive in order, as over TCP. When
a node fails, each neighbour notices the broken connection one latency later. A message or a connection to a dead node
fails after a round trip.
"""

import math
from collections.abc import Iterable
from random import Random

import msgspec

from protocol.gossip import hyparview, plumtree
from protocol.gossip.hyparview import HyParView, HyParViewLimits
from protocol.gossip.plumtree import Plumtree, PlumtreeLimits, SendHave, SendRecords, SendWant
from simulations.broadcast.wheel import Wheel

_SCRAMBLE = 2_654_435_761
"""Knuth's multiplier for hashing: 2^32 divided by the golden ratio."""


class Conditions(msgspec.Struct, frozen=True):
    """The latencies of a network in milliseconds, and the limits of its protocols."""

    latency_ms_min: int = 50
    latency_ms_max: int = 50
    gossip: PlumtreeLimits = PlumtreeLimits(recents_max=64, greeting_ids_max=8, gather_s=0.0)
    membership: HyParViewLimits = HyParViewLimits()


class BroadcastTally:
    """What one broadcast has cost and reached so far.

    `payload`: messages that carried this record. `control`: all control messages meanwhile. `delivered`: nodes that
    hold the record. `last_hop`: links that the copy with the longest way crossed. `last_ms`: time of the last delivery.
    """

    __slots__ = ("begun_ms", "control", "delivered", "last_hop", "last_ms", "payload", "record_id")

    def __init__(self, begun_ms: int, record_id: str = "") -> None:
        """`begun_ms`: when the record was written."""
        self.record_id = record_id
        self.begun_ms = begun_ms
        self.last_ms = begun_ms
        self.payload = 0
        self.control = 0
        self.delivered = 1
        self.last_hop = 0

    def on_payload(self, hops: int, is_new: bool, now_ms: int) -> None:
        """A living node got a copy that has crossed this many links. `is_new`: the node did not hold the record."""
        self.payload += 1
        if is_new:
            self.delivered += 1
            self.last_ms = now_ms
            self.last_hop = max(self.last_hop, hops)


class GossipNode:
    """One node: its state machines, and its links.

    `links`: by the link's number, the neighbour's index and the latency in milliseconds. `neighbours`: the link's
    number by the neighbour's index. `gossip_at_ms`, `membership_at_ms`: when the timer of that machine fires.
    """

    __slots__ = (
        "address",
        "gossip",
        "gossip_at_ms",
        "index",
        "is_alive",
        "links",
        "membership",
        "membership_at_ms",
        "neighbours",
    )

    def __init__(self, index: int, conditions: Conditions, random: Random, now: float) -> None:
        """`index`: the place in the list of nodes; its digits are the node's address. `now`: virtual seconds."""
        self.index = index
        self.address = str(index)
        self.is_alive = True
        self.gossip = Plumtree(conditions.gossip, random)
        self.gossip_at_ms: int | None = None
        self.membership = HyParView(self.address, conditions.membership, random, now)
        self.membership_at_ms: int | None = None
        self.links: dict[int, tuple[int, int]] = {}
        self.neighbours: dict[int, int] = {}


class GossipNetwork:
    """The nodes and all messages on their way between them. `tally`: that of the last broadcast."""

    def __init__(self, conditions: Conditions, random: Random) -> None:
        """`random`: shared by all nodes."""
        self.conditions = conditions
        self.random = random
        self.wheel = Wheel()
        self.nodes: list[GossipNode] = []
        self.tally = BroadcastTally(0)
        self._links_made = 0
        self._open: dict[tuple[int, int], int] = {}
        self._latency_span_ms = conditions.latency_ms_max - conditions.latency_ms_min + 1

    @property
    def now(self) -> float:
        """Virtual seconds since the beginning."""
        return self.wheel.now

    def living(self) -> list[GossipNode]:
        return [node for node in self.nodes if node.is_alive]

    def run_for(self, seconds: float) -> None:
        self.wheel.run_until(self.wheel.now_ms + math.ceil(seconds * 1_000))

    def join(self) -> GossipNode:
        """Add a node. It joins through another node that is drawn by chance."""
        contact = self.random.choice(self.nodes) if self.nodes else None
        node = GossipNode(len(self.nodes), self.conditions, self.random, self.wheel.now)
        self.nodes.append(node)
        if contact is not None:
            self._apply(node, node.membership.join(contact.address))
        self._set_membership_timer(node)
        return node

    def kill(self, nodes: Iterable[GossipNode]) -> None:
        """Let these nodes fail at once. Their connections break, and they send nothing any more."""
        dying = list(nodes)
        for node in dying:
            node.is_alive = False
        for node in dying:
            for neighbour in map(self.nodes.__getitem__, node.neighbours):
                if neighbour.is_alive:
                    at_ms = self.wheel.now_ms + self._latency_ms(node.index, neighbour.index)
                    self.wheel.set(at_ms, (self._on_unreachable, neighbour, node.address))

    def write(self, node: GossipNode, record_id: str) -> BroadcastTally:
        """Let a client write a record at this node. Returns its tally, which counts on while the network runs."""
        self.tally = BroadcastTally(self.wheel.now_ms, record_id)
        self._send(node, node.gossip.on_records((record_id,), 0, None, self.wheel.now))
        return self.tally

    def end(self) -> None:
        """Drop all events. They refer to the network, so without them it leaves the memory at once."""
        self.wheel = Wheel()

    def restart_gossip(self, limits: PlumtreeLimits) -> None:
        """Forget all trees and records. Neighbours stay, over new links. Messages on their way are lost."""
        self._open.clear()
        for node in self.living():
            node.gossip = Plumtree(limits, self.random)
            node.links.clear()
            for neighbour in node.neighbours:
                self._connect(node, neighbour)

    # Gossip.

    def _send(self, node: GossipNode, outputs: Iterable[plumtree.Output]) -> None:
        for output in outputs:
            end = node.links.get(output.link)
            if end is not None:
                neighbour, latency_ms = end
                self.wheel.set(self.wheel.now_ms + latency_ms, (self._on_gossip, self.nodes[neighbour], output))

    def _on_gossip(self, node: GossipNode, message: plumtree.Output) -> None:
        if not node.is_alive or message.link not in node.links:
            return
        if isinstance(message, SendRecords):
            self._on_push(node, message)
            return
        self.tally.control += 1
        if isinstance(message, SendHave):
            node.gossip.on_have(message.link, message.ids, message.hops, self.wheel.now, _lacks)
            self._set_gossip_timer(node)
        elif isinstance(message, SendWant):
            self._send(node, node.gossip.on_want(message.link, message.ids, message.eager))
        else:
            node.gossip.on_prune(message.link)

    def _on_push(self, node: GossipNode, push: SendRecords) -> None:
        """Handle a message with records. A node holds exactly the records that its gossip remembers."""
        fresh = tuple([each for each in push.ids if each not in node.gossip])
        if self.tally.record_id in push.ids:
            self.tally.on_payload(push.hops, self.tally.record_id in fresh, self.wheel.now_ms)
        if fresh:
            self._send(node, node.gossip.on_records(fresh, push.hops, push.link, self.wheel.now))
            self._set_gossip_timer(node)
        if len(fresh) < len(push.ids):
            repeated = push.ids if not fresh else tuple(each for each in push.ids if each not in fresh)
            self._send(node, node.gossip.on_duplicates(repeated, push.hops, push.link, self.wheel.now))

    def _set_gossip_timer(self, node: GossipNode) -> None:
        at = node.gossip.next_at
        if at is not None:
            at_ms = math.ceil(at * 1_000)
            if node.gossip_at_ms is None or at_ms < node.gossip_at_ms:
                node.gossip_at_ms = at_ms
                self.wheel.set(at_ms, (self._on_gossip_time, node, at_ms))

    def _on_gossip_time(self, node: GossipNode, at_ms: int) -> None:
        if node.is_alive and node.gossip_at_ms == at_ms:
            node.gossip_at_ms = None
            self._send(node, node.gossip.on_time(self.wheel.now))
            self._set_gossip_timer(node)

    # Membership.

    def _apply(self, node: GossipNode, outputs: Iterable[hyparview.Output]) -> None:
        for output in outputs:
            if isinstance(output, hyparview.SendMessage):
                to = self.nodes[int(output.to)]
                at_ms = self.wheel.now_ms + self._latency_ms(node.index, to.index)
                self.wheel.set(at_ms, (self._on_membership, to, (node, output.message)))
            elif isinstance(output, hyparview.Up):
                self._connect(node, int(output.neighbour))
            else:
                self._disconnect(node, int(output.neighbour))
        self._set_membership_timer(node)

    def _on_membership(self, node: GossipNode, item: tuple[GossipNode, hyparview.Message]) -> None:
        sender, message = item
        if not node.is_alive:
            at_ms = self.wheel.now_ms + self._latency_ms(node.index, sender.index)
            self.wheel.set(at_ms, (self._on_unreachable, sender, node.address))
            return
        self._apply(node, node.membership.on_message(sender.address, message, self.wheel.now))

    def _on_unreachable(self, node: GossipNode, address: str) -> None:
        if node.is_alive:
            self._apply(node, node.membership.on_unreachable(address, self.wheel.now))

    def _set_membership_timer(self, node: GossipNode) -> None:
        at_ms = math.ceil(node.membership.next_at * 1_000)
        if node.membership_at_ms is None or at_ms < node.membership_at_ms:
            node.membership_at_ms = at_ms
            self.wheel.set(at_ms, (self._on_membership_time, node, at_ms))

    def _on_membership_time(self, node: GossipNode, at_ms: int) -> None:
        if node.is_alive and node.membership_at_ms == at_ms:
            node.membership_at_ms = None
            self._apply(node, node.membership.on_time(self.wheel.now))

    def _connect(self, node: GossipNode, neighbour: int) -> None:
        """Link a node with its neighbour. The first of the two ends draws the link's number, the second one
        finds it.
        """
        pair = (min(node.index, neighbour), max(node.index, neighbour))
        link = self._open.get(pair)
        if link is None:
            link = self._open[pair] = self._links_made
            self._links_made += 1
        node.links[link] = (neighbour, self._latency_ms(node.index, neighbour))
        node.neighbours[neighbour] = link
        self._start_gossip(node, neighbour, link)

    def _disconnect(self, node: GossipNode, neighbour: int) -> None:
        link = node.neighbours.pop(neighbour)
        del node.links[link]
        pair = (min(node.index, neighbour), max(node.index, neighbour))
        if self._open.get(pair) == link:
            del self._open[pair]
        self._send(node, node.gossip.on_down(link, self.wheel.now))
        self._set_gossip_timer(node)

    def _start_gossip(self, node: GossipNode, neighbour: int, link: int) -> None:
        outputs = node.gossip.on_up(link)
        node.gossip.on_round_trip(link, self._latency_ms(node.index, neighbour) / 500)
        self._send(node, outputs)

    def _latency_ms(self, one: int, other: int) -> int:
        """The latency of a pair of nodes: the same at every time and in both directions."""
        drawn = (one ^ other) * _SCRAMBLE & 0xFFFFFFFF
        return self.conditions.latency_ms_min + (drawn * self._latency_span_ms >> 32)


def _lacks(_: str) -> bool:
    """Whether a node lacks a record that its gossip does not remember: always, because it holds no other records."""
    return True
