"""Plumtrees joined by pretend links, with delays, resets and deaths. One list holds all events in the order of time."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from random import Random

from protocol.gossip.plumtree import Output, Plumtree, PlumtreeLimits, SendHave, SendPrune, SendRecords, SendWant

EVENTS_MAX = 200_000


class Network:
    """Nodes are numbers. A link has the same number on both sides."""

    def __init__(self, nodes: int, seed: int, limits: PlumtreeLimits | None = None) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.nodes = [Plumtree(limits or PlumtreeLimits(), self.random) for _ in range(nodes)]
        self.held: list[dict[str, int]] = [{} for _ in range(nodes)]
        self.copies: Counter[str] = Counter()
        self.alive = [True] * nodes
        self.ends: dict[int, tuple[int, int, float]] = {}
        self.trace: list[tuple[float, int, Output]] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._drawn = 0
        self._sequence = 0

    def connect(self, one: int, other: int, delay_s: float) -> int:
        link, self._drawn = self._drawn, self._drawn + 1
        self.ends[link] = (one, other, delay_s)
        for node in (one, other):
            self.nodes[node].on_round_trip(link, 2 * delay_s)
            self._carry_out(node, self.nodes[node].on_up(link))
            self.nodes[node].on_round_trip(link, 2 * delay_s)
        return link

    def reset(self, link: int) -> None:
        """Break a link: all frames on the way are lost, and each end notices a little later."""
        one, other, delay_s = self.ends.pop(link)
        for node in (one, other):
            self._after(delay_s * self.random.random(), self._notice, node, link)

    def die(self, node: int) -> None:
        self.alive[node] = False
        for link in [link for link, ends in self.ends.items() if node in ends[:2]]:
            self.reset(link)

    def write(self, node: int, record_id: str) -> None:
        self.held[node][record_id] = 0
        self._carry_out(node, self.nodes[node].on_records((record_id,), 0, None, self.now))

    def settle(self) -> None:
        """Run until no frame is on the way and no timer is set."""
        for _ in range(EVENTS_MAX):
            if not self._events:
                return
            self._step()
        raise AssertionError("the network does not come to rest")

    def settle_until(self, end: float) -> None:
        while self._events and self._events[0][0] <= end:
            self._step()
        self.now = end

    def _step(self) -> None:
        self.now, _, event = heapq.heappop(self._events)
        event()

    def _notice(self, node: int, link: int) -> None:
        if self.alive[node]:
            self._carry_out(node, self.nodes[node].on_down(link, self.now))

    def _after(self, delay_s: float, event: Callable[..., None], *arguments: object) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (self.now + delay_s, self._sequence, lambda: event(*arguments)))

    def _carry_out(self, node: int, outputs: Iterable[Output]) -> None:
        for output in outputs:
            self.trace.append((self.now, node, output))
            if output.link in self.ends:
                one, other, delay_s = self.ends[output.link]
                self._after(delay_s, self._deliver, one + other - node, output)
        next_at = self.nodes[node].next_at
        if next_at is not None:
            self._after(next_at - self.now, self._wake, node)

    def _wake(self, node: int) -> None:
        next_at = self.nodes[node].next_at
        if self.alive[node] and next_at is not None and next_at <= self.now:
            self._carry_out(node, self.nodes[node].on_time(self.now))

    def _deliver(self, node: int, output: Output) -> None:
        if output.link not in self.ends or not self.alive[node]:
            return
        gossip, held = self.nodes[node], self.held[node]
        match output:
            case SendRecords(link, ids, hops):
                self._take_in(node, link, ids, hops)
            case SendHave(link, ids, hops):
                gossip.on_have(link, ids, hops, self.now, lambda each: each not in held)
                self._carry_out(node, [])
            case SendWant(link, ids, eager):
                self._carry_out(node, gossip.on_want(link, tuple(each for each in ids if each in held), eager))
            case SendPrune(link):
                gossip.on_prune(link)

    def _take_in(self, node: int, link: int, ids: tuple[str, ...], hops: int) -> None:
        held = self.held[node]
        self.copies.update(ids)
        new = tuple(each for each in ids if each not in held)
        known = tuple(each for each in ids if each in held)
        held.update(dict.fromkeys(new, hops))
        if new:
            self._carry_out(node, self.nodes[node].on_records(new, hops, link, self.now, is_live=hops > 0))
        if known:
            self._carry_out(node, self.nodes[node].on_duplicates(known, hops, link, self.now))
