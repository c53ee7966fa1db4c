"""The papers' experiments: a stable network, many failures at once, and a few failures all the time.

The network is built once for a seed and frozen; each experiment begins with a copy, so that none sees what another
did. A *cycle* is one broadcast and the time until the next; where nodes fail, each living one shuffles once in it, as
in the papers.

Measures, for each broadcast: *reliability*, the share of living nodes that it reached by the end of its cycle;
*redundancy* (RMR), payload messages for each node that it reached, less the one that it needs; *last hop*, the links
crossed by the copy that crossed most. Messages that reach nobody living are not counted.
"""

import gc
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Final

import msgspec

from protocol.gossip import HOPS_MAX
from simulations.broadcast.network import Conditions, Network, Node
from simulations.broadcast.published import DRIP_SHARE, FLOOD, MANY_SENDERS, ONE_SENDER, OPTIMISED

Advance = Callable[[int], None]

JOIN_GAP_S: Final = 0.002
WARM_UP_S: Final = 120.0
"""After the last joined: four shuffles, which fill the passive views."""

STABLE_CYCLE_S: Final = 5.0
"""Enough for a record to reach all, and for what it changed to settle."""

FAILURE_CYCLE_S: Final = 30.0
WARM_UP_BROADCASTS: Final = 5
FAILURE_CYCLES: Final = 6
HEALED: Final = 0.999
"""Where a broadcast reaches this share of the living, the network counts as healed."""

SHORTCUT_HOPS: Final = {ONE_SENDER: HOPS_MAX, MANY_SENDERS: HOPS_MAX, OPTIMISED: 7}
"""The paper's thresholds; the first two build their tree once and leave it as it is."""


class Plan(msgspec.Struct, frozen=True):
    """What to run. Failures are shares of all nodes."""

    nodes: int = 10_000
    seed: int = 1
    cycles: int = 20
    failures: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
    drip_cycles: int = 20
    conditions: Conditions = Conditions()

    @property
    def steps(self) -> int:
        """What `advance` counts up to: broadcasts, and joins by the thousand."""
        stable = 1 + len(SHORTCUT_HOPS) * (1 + self.cycles)
        failing = len(self.failures) * FAILURE_CYCLES + self.drip_cycles
        return self.nodes // 1_000 + stable + WARM_UP_BROADCASTS + failing


class Broadcast(msgspec.Struct, frozen=True):
    """One broadcast. Messages are counted; times are virtual seconds, to the last delivery."""

    reliability: float
    redundancy: float
    last_hop: int
    payload: int
    control: int
    seconds: float


class Failure(msgspec.Struct, frozen=True):
    """This share of the nodes failed at once; the first broadcast left in that very moment."""

    share: float
    broadcasts: tuple[Broadcast, ...]

    @property
    def cycles_to_heal(self) -> int | None:
        """Cycles that passed before a broadcast reached (nearly) all that live; None: not one did."""
        reached = (cycle for cycle, each in enumerate(self.broadcasts) if each.reliability >= HEALED)
        return next(reached, None)


class Report(msgspec.Struct, frozen=True):
    """All that one seed showed. `stable` is by mode, the broadcasts in order."""

    plan: Plan
    stable: dict[str, tuple[Broadcast, ...]]
    failures: tuple[Failure, ...]
    drip: tuple[Broadcast, ...]
    events: int


def run(plan: Plan, advance: Advance = lambda _: None) -> Report:
    """Every experiment of the plan. The same plan gives the same report."""
    with _no_garbage_collection():
        frozen = build(plan, advance)
        laboratory = _Laboratory(frozen, advance)
        stable = {FLOOD: laboratory.flood()}
        stable |= {
            mode: laboratory.stable(hops, mode == ONE_SENDER, plan.cycles) for mode, hops in SHORTCUT_HOPS.items()
        }
        laboratory.grow_tree()
        failures = tuple(laboratory.fail_at_once(share) for share in plan.failures)
        return Report(plan, stable, failures, laboratory.drip(plan.drip_cycles), laboratory.events)


def build(plan: Plan, advance: Advance = lambda _: None) -> bytes:
    """A network in which every node has joined through another, frozen."""
    network = Network(plan.conditions, Random(plan.seed))
    for joined in range(1, plan.nodes + 1):
        network.join()
        network.run_for(JOIN_GAP_S)
        if joined % 1_000 == 0:
            advance(1)
    network.run_for(WARM_UP_S)
    return freeze(network)


def freeze(network: Network) -> bytes:
    return pickle.dumps(network)


def thaw(frozen: bytes) -> Network:
    """A copy of the network. Others that nobody uses any more leave the memory first: each is a knot of references."""
    gc.collect()
    network = pickle.loads(frozen)
    assert isinstance(network, Network)
    return network


class _Laboratory:
    """Runs experiments on copies of one network."""

    def __init__(self, frozen: bytes, advance: Advance) -> None:
        self._frozen = frozen
        self._advance = advance
        self.events = 0

    def flood(self) -> tuple[Broadcast, ...]:
        """The first broadcast of all, while every link is eager."""
        network = thaw(self._frozen)
        return (self._broadcast(network, network.nodes[0], STABLE_CYCLE_S, 0),)

    def stable(self, shortcut_hops: int, has_one_sender: bool, cycles: int) -> tuple[Broadcast, ...]:
        """Broadcasts in a network where nobody fails, the first of them a flood."""
        network = thaw(self._frozen)
        network.restart_gossip(msgspec.structs.replace(network.conditions.gossip, shortcut_hops=shortcut_hops))
        senders = [
            network.nodes[0] if has_one_sender else network.random.choice(network.nodes) for _ in range(cycles + 1)
        ]
        return tuple(self._broadcast(network, sender, STABLE_CYCLE_S, number) for number, sender in enumerate(senders))

    def grow_tree(self) -> None:
        """Let the frozen network have a tree, for what comes after."""
        network = thaw(self._frozen)
        for number in range(WARM_UP_BROADCASTS):
            self._broadcast(network, network.random.choice(network.nodes), STABLE_CYCLE_S, number)
        self._frozen = freeze(network)

    def fail_at_once(self, share: float) -> Failure:
        network = thaw(self._frozen)
        network.kill(network.random.sample(network.nodes, round(share * len(network.nodes))))
        return Failure(share, tuple(self._cycle(network, 100 + number) for number in range(FAILURE_CYCLES)))

    def drip(self, cycles: int) -> tuple[Broadcast, ...]:
        """In each cycle a few nodes fail, and a broadcast follows in the same moment."""
        network = thaw(self._frozen)
        dying = max(1, round(DRIP_SHARE * len(network.nodes)))
        broadcasts = []
        for number in range(cycles):
            network.kill(network.random.sample(network.living(), dying))
            broadcasts.append(self._cycle(network, 100 + number))
        return tuple(broadcasts)

    def _cycle(self, network: Network, number: int) -> Broadcast:
        return self._broadcast(network, network.random.choice(network.living()), FAILURE_CYCLE_S, number)

    def _broadcast(self, network: Network, sender: Node, seconds: float, number: int) -> Broadcast:
        begun_events = network.wheel.events
        tally = network.write(sender, f"{number:064x}")
        network.run_for(seconds)
        self.events += network.wheel.events - begun_events
        self._advance(1)
        return Broadcast(
            reliability=tally.delivered / len(network.living()),
            redundancy=tally.payload / (tally.delivered - 1) - 1 if tally.delivered > 1 else 0.0,
            last_hop=tally.last_hop,
            payload=tally.payload,
            control=tally.control,
            seconds=(tally.last_ms - tally.begun_ms) / 1_000,
        )


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """The machines make no reference cycles while they run, and to look for some among a million objects takes long."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
