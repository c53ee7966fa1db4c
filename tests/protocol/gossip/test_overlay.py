"""HyParView in a whole network: through joins and failures, views stay mutual, within limits, and connected."""

from collections import deque
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.gossip.hyparview import Down, HyParView, HyParViewLimits, Message, Output, SendMessage, Up

EVENTS_MAX = 100_000
LIMITS = HyParViewLimits()


class Overlay:
    """Nodes whose messages arrive one after another, in the order in which they were sent."""

    def __init__(self, nodes: int, seed: int) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.nodes: dict[str, HyParView] = {}
        self.linked: dict[str, dict[str, None]] = {}
        self._queue: deque[tuple[str, str, Message]] = deque()
        for number in range(nodes):
            self.join(f"node {number}")

    def join(self, address: str) -> None:
        contacts = list(self.nodes)
        self.nodes[address] = HyParView(address, LIMITS, self.random, self.now)
        self.linked[address] = {}
        if contacts:
            self._apply(address, self.nodes[address].join(self.random.choice(contacts)))
        self.settle()

    def kill(self, addresses: list[str]) -> None:
        broken = [(other, each) for each in addresses for other in self.linked[each]]
        for each in addresses:
            del self.nodes[each], self.linked[each]
        for other, each in broken:
            if other in self.nodes:
                self._apply(other, self.nodes[other].on_unreachable(each, self.now))
        self.settle()

    def cycle(self) -> None:
        self.now += 1.2 * LIMITS.shuffle_s
        for address, membership in self.nodes.items():
            self._apply(address, membership.on_time(self.now))
        self.settle()

    def settle(self) -> None:
        for _ in range(EVENTS_MAX):
            if not self._queue:
                return
            sender, to, message = self._queue.popleft()
            if to in self.nodes:
                self._apply(to, self.nodes[to].on_message(sender, message, self.now))
            elif sender in self.nodes:
                self._apply(sender, self.nodes[sender].on_unreachable(to, self.now))
        raise AssertionError("the overlay does not come to rest")

    def reachable(self) -> set[str]:
        start = next(iter(self.nodes))
        reached, ahead = {start}, [start]
        while ahead:
            for each in self.nodes[ahead.pop()].active:
                if each not in reached:
                    reached.add(each)
                    ahead.append(each)
        return reached

    def check(self) -> None:
        for address, membership in self.nodes.items():
            assert len(membership.active) <= LIMITS.active_max
            assert len(membership.passive) <= LIMITS.passive_max
            assert address not in membership.active + membership.passive
            assert len(set(membership.active + membership.passive)) == len(membership.active + membership.passive)
            assert list(self.linked[address]) == list(membership.active), "Up and Down reported every change"
            assert all(address in self.nodes[each].active for each in membership.active), "neighbours are mutual"

    def _apply(self, address: str, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case SendMessage(to, message):
                    self._queue.append((address, to, message))
                case Up(neighbour):
                    assert neighbour not in self.linked[address]
                    self.linked[address][neighbour] = None
                case Down(neighbour):
                    del self.linked[address][neighbour]


@given(st.integers(2, 60), st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_neighbours_are_mutual_and_within_limits_through_joins_and_failures(nodes: int, seed: int) -> None:
    overlay = Overlay(nodes, seed)
    overlay.check()

    for number in range(3):
        dying = overlay.random.sample(list(overlay.nodes), len(overlay.nodes) // 3)
        overlay.kill(dying)
        overlay.check()
        overlay.join(f"late {number}")
        overlay.cycle()
        overlay.check()


def test_nodes_that_ask_each_other_in_a_circle_come_to_rest() -> None:
    """Three nodes accepted, disconnected and asked each other without end."""
    overlay = Overlay(nodes=34, seed=1_809_319_396)

    overlay.kill(overlay.random.sample(list(overlay.nodes), 11))

    overlay.check()


@pytest.mark.parametrize("seed", range(5))
def test_the_network_stays_connected_after_half_of_its_nodes_failed(seed: int) -> None:
    overlay = Overlay(100, seed)
    for _ in range(3):
        overlay.cycle()

    overlay.kill(overlay.random.sample(list(overlay.nodes), 50))
    overlay.cycle()

    assert overlay.reachable() == set(overlay.nodes)


def test_the_same_seed_gives_the_same_views() -> None:
    views = []
    for disturbance in (0, 1_000):
        ballast = [object() for _ in range(disturbance)]
        overlay = Overlay(40, seed=3)
        overlay.kill(overlay.random.sample(list(overlay.nodes), 10))
        overlay.cycle()
        views.append([(each, overlay.nodes[each].active, overlay.nodes[each].passive) for each in overlay.nodes])
        del ballast

    assert views[0] == views[1]
