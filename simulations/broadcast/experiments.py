"""The papers' experiments: a stable network, many failures at once, and a few failures all the time.

The network is built once for a seed. While nobody fails the experiments follow one another, each with new trees; the
last tree is what failures strike, each time in a copy of the network, so that none sees what another did. A *cycle* is
one broadcast and the time until the next; where nodes fail, each living one shuffles once in it, as in the papers.

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

from protocol.limits import HOPS_MAX
from simulations.broadcast.network import Conditions, GossipNetwork, GossipNode
from simulations.broadcast.published import DRIP_SHARE, FLOOD, MANY_SENDERS, ONE_SENDER, OPTIMISED
from simulations.broadcast.reach import largest_group

Advance = Callable[[int], None]

JOIN_GAP_S: Final = 0.002
WARM_UP_S: Final = 120.0
"""After the last joined: four shuffles, which fill the passive views."""

STABLE_CYCLE_S: Final = 5.0
"""Enough for a record to reach all, and for what it changed to settle."""

FAILURE_CYCLE_S: Final = 30.0
FAILURE_CYCLES: Final = 6
HEALED: Final = 0.999
"""Where a broadcast reaches this share of the living, the network counts as healed."""

SHORTCUT_HOPS: Final = {ONE_SENDER: HOPS_MAX, MANY_SENDERS: HOPS_MAX, OPTIMISED: 7}
"""The paper's thresholds; the first two build their tree once and leave it as it is."""

JOIN_WORK: Final = 75
WARM_UP_WORK: Final = 50
STABLE_WORK: Final = 6
FAILURE_WORK: Final = 12
"""Messages and timers for each node that joins, while it warms up, and in each cycle that it lives through: about."""


class Experiment(msgspec.Struct, frozen=True):
    """What to run. Failures are shares of all nodes."""

    nodes: int = 10_000
    seed: int = 1
    cycles: int = 20
    failures: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
    drip_cycles: int = 20
    conditions: Conditions = Conditions()

    @property
    def work(self) -> int:
        """What `advance` counts up to: messages and timers, as far as they can be foretold."""
        living = [self.nodes - self.dying(share) for share in self.failures for _ in range(FAILURE_CYCLES)]
        living += [self.nodes - self.dying(DRIP_SHARE) * cycle for cycle in range(1, self.drip_cycles + 1)]
        stable = STABLE_WORK * len(SHORTCUT_HOPS) * (1 + self.cycles)
        return self.nodes * (JOIN_WORK + WARM_UP_WORK + stable) + FAILURE_WORK * sum(living)

    def dying(self, share: float) -> int:
        """How many nodes that is: one, at the least."""
        return max(1, round(share * self.nodes))


class Broadcast(msgspec.Struct, frozen=True):
    """One broadcast. Messages are counted; times are virtual seconds, to the last delivery."""

    reliability: float
    redundancy: float
    last_hop: int
    payload: int
    control: int
    seconds: float


class Failure(msgspec.Struct, frozen=True):
    """This share of the nodes failed at once; the first broadcast left in that very moment.

    `within_reach` is the share of the living that no broadcast can exceed then: see `largest_group`.
    """

    share: float
    within_reach: float
    broadcasts: tuple[Broadcast, ...]

    @property
    def cycles_to_heal(self) -> int | None:
        """Cycles that passed before a broadcast reached (nearly) all that live; None: not one did."""
        reached = (cycle for cycle, each in enumerate(self.broadcasts) if each.reliability >= HEALED)
        return next(reached, None)


class ExperimentResult(msgspec.Struct, frozen=True):
    """All that one seed showed. `stable` is by mode, the broadcasts in order."""

    plan: Experiment
    stable: dict[str, tuple[Broadcast, ...]]
    failures: tuple[Failure, ...]
    drip: tuple[Broadcast, ...]
    events: int


def run_experiments(plan: Experiment, advance: Advance = lambda _: None) -> ExperimentResult:
    """Every experiment of the plan. The same plan gives the same report."""
    with _no_garbage_collection():
        laboratory = _Laboratory(plan, advance)
        network = build(plan, advance)
        stable = {mode: laboratory.stable(network, mode) for mode in SHORTCUT_HOPS}
        stable = {FLOOD: stable[ONE_SENDER][:1], **stable}
        frozen = freeze(network)
        network.end()
        del network
        failures = tuple(laboratory.fail_at_once(frozen, share) for share in plan.failures)
        return ExperimentResult(plan, stable, failures, laboratory.drip(frozen), laboratory.events)


def build(plan: Experiment, advance: Advance = lambda _: None) -> GossipNetwork:
    """A network in which every node has joined through another."""
    network = GossipNetwork(plan.conditions, Random(plan.seed))
    for begin in range(0, plan.nodes, 1_000):
        joining = min(1_000, plan.nodes - begin)
        for _ in range(joining):
            network.join()
            network.run_for(JOIN_GAP_S)
        advance(JOIN_WORK * joining)
    for _ in range(WARM_UP_WORK):
        network.run_for(WARM_UP_S / WARM_UP_WORK)
        advance(plan.nodes)
    return network


def freeze(network: GossipNetwork) -> bytes:
    return pickle.dumps(network, pickle.HIGHEST_PROTOCOL)


@contextmanager
def thawed(frozen: bytes) -> Iterator[GossipNetwork]:
    """A copy of the network, for as long as it is used: some kilobytes for each node."""
    network = pickle.loads(frozen)
    assert isinstance(network, GossipNetwork)
    try:
        yield network
    finally:
        network.end()


class _Laboratory:
    """Runs the experiments of a plan, each on the network that it is given."""

    def __init__(self, plan: Experiment, advance: Advance) -> None:
        self._plan = plan
        self._advance = advance
        self._written = 0
        self.events = 0

    def stable(self, network: GossipNetwork, mode: str) -> tuple[Broadcast, ...]:
        """Broadcasts in a network where nobody fails, the first of them a flood: every link is eager."""
        limits = msgspec.structs.replace(network.conditions.gossip, shortcut_hops=SHORTCUT_HOPS[mode])
        network.restart_gossip(limits)
        broadcasts = []
        for _ in range(1 + self._plan.cycles):
            sender = network.nodes[0] if mode == ONE_SENDER else network.random.choice(network.nodes)
            broadcasts.append(self._broadcast(network, sender, STABLE_CYCLE_S))
            self._advance(STABLE_WORK * len(network.nodes))
        return tuple(broadcasts)

    def fail_at_once(self, frozen: bytes, share: float) -> Failure:
        with thawed(frozen) as network:
            network.kill(network.random.sample(network.nodes, self._plan.dying(share)))
            living = network.living()
            within_reach = largest_group(living) / len(living)
            return Failure(share, within_reach, tuple(self._failure_cycle(network) for _ in range(FAILURE_CYCLES)))

    def drip(self, frozen: bytes) -> tuple[Broadcast, ...]:
        """In each cycle a few nodes fail, and a broadcast follows in the same moment."""
        broadcasts = []
        with thawed(frozen) as network:
            for _ in range(self._plan.drip_cycles):
                network.kill(network.random.sample(network.living(), self._plan.dying(DRIP_SHARE)))
                broadcasts.append(self._failure_cycle(network))
        return tuple(broadcasts)

    def _failure_cycle(self, network: GossipNetwork) -> Broadcast:
        living = network.living()
        broadcast = self._broadcast(network, network.random.choice(living), FAILURE_CYCLE_S)
        self._advance(FAILURE_WORK * len(living))
        return broadcast

    def _broadcast(self, network: GossipNetwork, sender: GossipNode, seconds: float) -> Broadcast:
        begun_events = network.wheel.events
        self._written += 1
        tally = network.write(sender, f"{self._written:064x}")
        network.run_for(seconds)
        self.events += network.wheel.events - begun_events
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
