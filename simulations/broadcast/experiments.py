"""The papers' experiments: a stable network, many failures at once, and a few failures all the time.

The network is built once for each seed. The experiments without failures run one after another, each with new trees.
The experiments with failures each use a copy of the network with its last tree, so that they do not affect each other.
A *cycle* is one broadcast and the time until the next one. In experiments with failures, each living node shuffles once
in a cycle, as in the papers.

There are three measures of a broadcast. *Reliability* is the share of living nodes that it reached by the end of its
cycle. *Redundancy* (RMR) is the number of payload messages for each reached node, minus the one that each node needs.
*Last hop* is the number of links that the copy with the longest way crossed. Messages to dead nodes are not counted.
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
JOINED_PER_REPORT: Final = 1_000
"""Nodes that join between two reports of progress."""

WARM_UP_S: Final = 120.0
"""Time after the last node has joined. It has four shuffles, which fill the passive views."""

STABLE_CYCLE_S: Final = 5.0
"""Enough time for a record to reach all nodes, and for the tree to settle after it."""

FAILURE_CYCLE_S: Final = 30.0
FAILURE_CYCLES: Final = 6
HEALED: Final = 0.999
"""A network counts as healed if a broadcast reaches this share of the living nodes."""

SHORTCUT_HOPS: Final = {ONE_SENDER: HOPS_MAX, MANY_SENDERS: HOPS_MAX, OPTIMISED: 7}
"""The paper's thresholds for optimising the tree. With the first two, a tree never changes once it is built."""

JOIN_WORK: Final = 75
WARM_UP_WORK: Final = 50
STABLE_WORK: Final = 6
FAILURE_WORK: Final = 12
"""Approximate messages and timers for each node: while it joins, in the warm-up, and in each cycle of both kinds."""


class Experiment(msgspec.Struct, frozen=True):
    """What to run. `cycles`: broadcasts in each mode without failures. `failures`: the shares of all nodes that fail at
    once, one experiment for each. `drip_cycles`: cycles in each of which a few nodes fail.
    """

    nodes: int = 10_000
    seed: int = 1
    cycles: int = 20
    failures: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
    drip_cycles: int = 20
    conditions: Conditions = Conditions()

    @property
    def work(self) -> int:
        """The sum of all steps passed to `advance`: the estimated messages and timers of all experiments."""
        living = [self.nodes - self.failing(share) for share in self.failures for _ in range(FAILURE_CYCLES)]
        living += [self.nodes - self.failing(DRIP_SHARE) * cycle for cycle in range(1, self.drip_cycles + 1)]
        stable = STABLE_WORK * len(SHORTCUT_HOPS) * (1 + self.cycles)
        return self.nodes * (JOIN_WORK + WARM_UP_WORK + stable) + FAILURE_WORK * sum(living)

    def failing(self, share: float) -> int:
        """How many nodes this share is: at least one."""
        return max(1, round(share * self.nodes))


class Broadcast(msgspec.Struct, frozen=True):
    """The measures of one broadcast. `payload` and `control`: numbers of messages. `seconds`: virtual time until the
    last delivery.
    """

    reliability: float
    redundancy: float
    last_hop: int
    payload: int
    control: int
    seconds: float


class FailureResult(msgspec.Struct, frozen=True):
    """This share of the nodes failed at once, and the first broadcast began at the same moment.

    `within_reach`: the largest share of the living nodes that any broadcast can reach then; see `largest_group`.
    """

    share: float
    within_reach: float
    broadcasts: tuple[Broadcast, ...]

    @property
    def cycles_to_heal(self) -> int | None:
        """Cycles before the first broadcast that reached nearly all living nodes. None: no broadcast did."""
        reached = (cycle for cycle, each in enumerate(self.broadcasts) if each.reliability >= HEALED)
        return next(reached, None)


class ExperimentResult(msgspec.Struct, frozen=True):
    """The results of one seed. `stable`: the broadcasts without failures in order, by mode. `events`: messages and
    timers of all broadcasts.
    """

    plan: Experiment
    stable: dict[str, tuple[Broadcast, ...]]
    failures: tuple[FailureResult, ...]
    drip: tuple[Broadcast, ...]
    events: int


def run_experiments(plan: Experiment, advance: Advance = lambda _: None) -> ExperimentResult:
    """Run every experiment of the plan. The same plan gives the same result. `advance`: called with the work done."""
    with _no_garbage_collection():
        laboratory = _Laboratory(plan, advance)
        network = build(plan, advance)
        stable = {mode: laboratory.stay_stable(network, mode) for mode in SHORTCUT_HOPS}
        stable = {FLOOD: stable[ONE_SENDER][:1], **stable}
        frozen = freeze(network)
        network.end()
        del network
        failures = tuple(laboratory.fail_at_once(frozen, share) for share in plan.failures)
        return ExperimentResult(plan, stable, failures, laboratory.drip(frozen), laboratory.events)


def build(plan: Experiment, advance: Advance = lambda _: None) -> GossipNetwork:
    """Make a network in which every node has joined through another one."""
    network = GossipNetwork(plan.conditions, Random(plan.seed))
    for begin in range(0, plan.nodes, JOINED_PER_REPORT):
        joining = min(JOINED_PER_REPORT, plan.nodes - begin)
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
    """A copy of the network until the block ends. It takes a few kilobytes for each node."""
    network = pickle.loads(frozen)
    assert isinstance(network, GossipNetwork)
    try:
        yield network
    finally:
        network.end()


class _Laboratory:
    """Runs the experiments of a plan. `events`: messages and timers so far."""

    def __init__(self, plan: Experiment, advance: Advance) -> None:
        """`advance`: called with the work done."""
        self._plan = plan
        self._advance = advance
        self._written = 0
        self.events = 0

    def stay_stable(self, network: GossipNetwork, mode: str) -> tuple[Broadcast, ...]:
        """Broadcast while no node fails. The first broadcast is a flood, because every link is eager at first."""
        limits = msgspec.structs.replace(network.conditions.gossip, shortcut_hops=SHORTCUT_HOPS[mode])
        network.restart_gossip(limits)
        broadcasts = []
        for _ in range(1 + self._plan.cycles):
            sender = network.nodes[0] if mode == ONE_SENDER else network.random.choice(network.nodes)
            broadcasts.append(self._broadcast(network, sender, STABLE_CYCLE_S))
            self._advance(STABLE_WORK * len(network.nodes))
        return tuple(broadcasts)

    def fail_at_once(self, frozen: bytes, share: float) -> FailureResult:
        """Let this share of the nodes fail at once, and broadcast in each cycle from that moment on."""
        with thawed(frozen) as network:
            network.kill(network.random.sample(network.nodes, self._plan.failing(share)))
            living = network.living()
            within_reach = largest_group(living) / len(living)
            return FailureResult(
                share, within_reach, tuple(self._failure_cycle(network) for _ in range(FAILURE_CYCLES))
            )

    def drip(self, frozen: bytes) -> tuple[Broadcast, ...]:
        """Let a few nodes fail in each cycle, and broadcast at the same moment."""
        broadcasts = []
        with thawed(frozen) as network:
            for _ in range(self._plan.drip_cycles):
                network.kill(network.random.sample(network.living(), self._plan.failing(DRIP_SHARE)))
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
    """Turn the garbage collector off until the block ends. The state machines make no reference cycles while they run,
    and a search among a million objects takes long.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
