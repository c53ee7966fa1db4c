"""A swarm: plans drawn from seeds. Chance decides everything: topology, clocks, settings, weather, users and faults.

As in swarm testing (Groce and others, ISSTA 2012), each plan first draws which kinds of faults and acts it has at all,
because runs with all kinds hide bugs that need many faults of one kind. Seed 17 gives the same plan on every machine,
and `dnarc simulate swarm --start 17 --seeds 1` plays it again.
"""

from random import Random
from typing import Any, Final

import msgspec

from simulations.cast.tie import Tie
from simulations.cast.user import key_of_user
from simulations.swarm.draw_council import add_council
from simulations.swarm.plan import REMOVALS, Act, Action, Fault, FaultKind, NodePlan, Plan
from simulations.world.wire import Weather

SETTLE_S: Final = 3_600.0
"""Most networks agree within seconds. But peers over plain HTTP spend at most a twentieth of their time on comparing
ids. In pages of three records, over a slow wire and with a slow disk, one comparison takes more than a minute, so the
next one comes 20 minutes later. Seed 13, with 22 nodes, needed 2,592 s.
"""

_HONEST: Final = (Action.CLAIM, Action.CLAIM, Action.CLAIM, Action.OFFER)
_STRANGE: Final = (
    Action.LINK_RANGES,
    Action.LINK_NAMES,
    Action.LINK_DOMAINS,
    Action.LINK_BOTH,
    Action.LATE_EACH_WAY,
)
_HOSTILE: Final = tuple(action for action in Action if action not in (*_HONEST, *_STRANGE))
_KINDS: Final = [kind for kind in FaultKind if kind not in (FaultKind.CUT_WRITING, FaultKind.FORGOTTEN, *REMOVALS)]
FOUNDERS_MAX: Final = 3
"""Strangers that found domains in one run. All their domains and those of others are fewer than `DOMAINS_MAX`."""

DOMAINS_MAX: Final = 100
"""Domains that a node keeps: strangers found none once half of them are taken."""

_FAULTS_MAX: Final = 8
_OFFSET_S_MAX: Final = 100.0
"""How far a clock is wrong at most, in seconds."""


def draw(seed: int | str) -> Plan:
    """The plan of this seed."""
    random = Random(f"swarm {seed}")
    quotas = _quotas(Random(f"swarm {seed} quotas"))
    nodes = [_node(random, number, quotas) for number in range(_count(random))]
    nodes = _narrow(Random(f"swarm {seed} kept"), nodes)
    nodes = _choosy(Random(f"swarm {seed} welcome"), nodes, str(seed))
    names = [node.name for node in nodes]
    active_s = random.uniform(20, 90)
    strange = _strange_acts(Random(f"swarm {seed} strangers"), names, active_s)
    weather = _weather(random)
    ties = _mutual(Random(f"swarm {seed} mutual"), _ties(random, names))
    plan = Plan(
        seed=str(seed),
        weather=weather,
        nodes=nodes,
        ties=ties,
        faults=[*_faults(random, names, active_s), *_removals(Random(f"swarm {seed} removals"), names, active_s)],
        acts=sorted([*_acts(random, names, active_s), *_between_peers(strange, ties)], key=lambda it: it.at_s),
        active_s=active_s,
        settle_s=SETTLE_S,
    )
    return add_council(seed, plan)


def _count(random: Random) -> int:
    """From 5 to 30 nodes, and mostly few, because small runs find as many bugs in less time."""
    return 5 + int(25 * random.random() ** 4)


def _weather(random: Random) -> Weather:
    return Weather(
        latency_s=10 ** random.uniform(-3.5, -0.7),
        jitter_s=random.choice((0.0, 0.005, 0.05)),
        loss=random.choice((0.0, 0.0, 0.01, 0.05)),
        bytes_per_second=random.choice((None, None, 1e6, 1e5)),
        segment_bytes=random.choice((65_536, 65_536, 1_460, 300)),
    )


def _quotas(random: Random) -> dict[str, Any]:
    """How many records a second one address may send, few in a quarter of the runs, and how many domains it may found.

    Drawn from a stream of its own, so that other draws stay as they were before it existed.
    """
    return {
        "records_per_second_max": random.choice((1_000.0, 1_000.0, 1_000.0, 5.0)),
        "domains_per_hour_max": random.choice((60, None, None)),
        "domains_max": DOMAINS_MAX,
    }


def _node(random: Random, number: int, quotas: dict[str, Any]) -> NodePlan:
    choices: dict[str, tuple[Any, ...]] = {
        "max_age": (300, 300, None),
        "commit_records_max": (2_048, 2_048, 1, 7),
        "labels_cached_max": (100_000, 1, 3),
        "heads_cached_bytes_max": (128 * 2**20, 1),
        "sync_page": (1_000, 1_000, 3),
        "repair_interval": (60.0, 60.0, 20.0),
    }
    settings = quotas | {name: random.choice(values) for name, values in choices.items()}
    has_wrong_clock = random.random() < 0.2
    return NodePlan(
        name=f"n{number}",
        offset_s=random.uniform(-_OFFSET_S_MAX, _OFFSET_S_MAX) if has_wrong_clock else 0.0,
        drift=random.choice((0.0, 0.0, 0.001, -0.001)),
        disk_latency_s=random.choice((0.0005, 0.0005, 0.01, 0.1)),
        settings=settings,
    )


def _narrow(random: Random, nodes: list[NodePlan]) -> list[NodePlan]:
    """The nodes, of which some keep only a few records of each domain or key from clients, in a third of the runs.

    Drawn from a stream of its own, so that other draws stay as they were before it existed.
    """
    share = random.choice((0.0, 0.0, 0.5))
    return [_with(node, _kept(random)) if random.random() < share else node for node in nodes]


def _kept(random: Random) -> dict[str, Any]:
    return {
        "domain_records_max": random.choice((None, 5, 20)),
        "key_records_max": random.choice((None, 1, 3)),
        "key_bytes_max": random.choice((None, 1_000)),
    }


def _choosy(random: Random, nodes: list[NodePlan], seed: str) -> list[NodePlan]:
    """The nodes, of which some do not take the records of some users or labels from clients, in half of the runs.

    Drawn from a stream of its own, so that other draws stay as they were before it existed.
    """
    share = random.choice((0.0, 0.0, 0.3, 0.8))
    return [_with(node, {"write": _write_rules(random, seed)}) if random.random() < share else node for node in nodes]


def _with(node: NodePlan, settings: dict[str, Any]) -> NodePlan:
    """The node with these settings too."""
    return msgspec.structs.replace(node, settings=node.settings | settings)


def _write_rules(random: Random, seed: str) -> dict[str, Any]:
    """The rules of one node as JSON. A plan has two to five users, and labels that end with a number."""
    keys = [key_of_user(seed, f"u{number}").public for number in range(3)]
    choices: tuple[dict[str, Any], ...] = (
        {"banned_keys": [random.choice(keys)]},
        {"banned_labels": [f"label-{random.randint(0, 2)}"]},
        {"writers": random.sample(keys, 2)},
        {"founders": [random.choice(keys)]},
        {"labels_per_founder_max": random.randint(0, 2)},
    )
    rules: dict[str, Any] = {}
    for chosen in random.sample(choices, random.randint(1, 2)):
        rules |= chosen
    return {"for_all": rules}


def _ties(random: Random, names: list[str]) -> list[Tie]:
    """A tree, so that all machines are connected, and some more ties. Most go both ways, and some use plain HTTP."""
    share_of_http = random.choice((0.0, 0.0, 0.2, 1.0))
    pairs = {(name, random.choice(names[:number])) for number, name in enumerate(names) if number}
    for _ in range(random.randint(0, len(names))):
        one, other = random.sample(names, 2)
        pairs.add((one, other))
    ties = []
    for dialler, acceptor in sorted(pairs):
        push, pull = random.choice(((True, True), (True, True), (True, True), (True, False), (False, True)))
        scheme = "http" if random.random() < share_of_http else "ws"
        ties.append(Tie(dialler, acceptor, push=push, pull=pull, scheme=scheme))
    return ties


def _mutual(random: Random, ties: list[Tie]) -> list[Tie]:
    """The ties, and for some of them one back: the acceptor dials too, with a row of its own. Drawn from a stream of
    its own, so that other draws stay as they were before it existed.
    """
    share = random.choice((0.0, 0.0, 0.5))
    there = {(tie.dialler, tie.acceptor) for tie in ties}
    back = [
        Tie(tie.acceptor, tie.dialler, push=random.random() < 0.7, pull=random.random() < 0.7, scheme=tie.scheme)
        for tie in ties
        if random.random() < share and (tie.acceptor, tie.dialler) not in there
    ]
    return [*ties, *(tie for tie in back if tie.push or tie.pull)]


def _faults(random: Random, names: list[str], active_s: float) -> list[Fault]:
    kinds = random.sample(_KINDS, random.randint(1, 5))
    return [_fault(random, random.choice(kinds), names, active_s) for _ in range(random.randint(0, _FAULTS_MAX))]


def _removals(random: Random, names: list[str], active_s: float) -> list[Fault]:
    """In a third of the runs, operators take records down. Drawn from a stream of its own, so that other draws stay as
    they were before it existed.
    """
    if random.random() < 2 / 3:
        return []
    faults = []
    for _ in range(random.randint(1, 4)):
        kind = random.choice((FaultKind.ERASED, FaultKind.ERASED, FaultKind.ERASED, FaultKind.DROPPED))
        machines = sorted(random.sample(names, random.randint(1, max(1, len(names) // 3))))
        value = random.choice((0.1, 0.5, 1.0)) if kind is FaultKind.ERASED else 0.0
        faults.append(Fault(kind, random.uniform(active_s * 0.2, active_s * 0.8), 5.0, machines, value))
    return faults


def _fault(random: Random, kind: FaultKind, names: list[str], active_s: float) -> Fault:
    at_s = random.uniform(1, active_s * 0.8)
    for_s = min(10 ** random.uniform(-1, 1.7), active_s - at_s)
    is_group = kind in (FaultKind.PARTED, FaultKind.SILENCED, FaultKind.STORM)
    count = random.randint(1, max(1, len(names) // 2)) if is_group else random.choice((1, 1, 2))
    value = {
        FaultKind.FLAPPING: random.uniform(0.2, 5),
        FaultKind.SLOW: 10 ** random.uniform(2.5, 4.5),
        FaultKind.STORM: random.uniform(0.1, 0.5),
        FaultKind.RESTORED: random.uniform(0, at_s),
        FaultKind.DISK_SLOW: random.uniform(0.05, 1),
        FaultKind.CLOCK_JUMP: random.choice((-1, 1)) * random.uniform(1, _OFFSET_S_MAX),
    }.get(kind, 0.0)
    return Fault(kind, at_s, for_s, sorted(random.sample(names, count)), value)


def _acts(random: Random, names: list[str], active_s: float) -> list[Act]:
    users = [f"u{number}" for number in range(random.randint(2, 5))]
    labels = [f"label-{number}" for number in range(random.choice((2, 8, 30)))]
    hostile = random.sample(_HOSTILE, random.randint(0, 3))
    share = random.choice((0.0, 0.1, 0.4)) if hostile else 0.0
    acts = []
    for _ in range(random.choice((20, 60, 150))):
        action = random.choice(hostile) if random.random() < share else random.choice(_HONEST)
        at_s, user, machine = random.uniform(0.5, active_s), random.choice(users), random.choice(names)
        other = random.choice(users if action is Action.OFFER else names)
        acts.append(Act(action, at_s, user, machine, random.choice(labels), other))
    return sorted(acts, key=lambda it: it.at_s)


def _strange_acts(random: Random, names: list[str], active_s: float) -> list[Act]:
    """What strangers do to make the network slow, or to fill it, in a third of the runs. Drawn from a stream of its
    own, so that other draws stay as they were before it existed.

    All founders of domains go to one machine. Elsewhere these domains come from peers, for which there is room.
    """
    if random.random() > 1 / 3:
        return []
    founded = random.choice(names)
    acts = []
    for _ in range(random.randint(1, 12)):
        action, (machine, other) = random.choice(_STRANGE), random.sample(names, 2)
        machine = founded if action is Action.LINK_DOMAINS else machine
        user, label = f"s{random.randrange(2)}", f"strange-{random.randrange(3)}"
        acts.append(Act(action, random.uniform(0.5, active_s), user, machine, label, other))
    founders = [act for act in acts if act.action is Action.LINK_DOMAINS]
    return [act for act in acts if act not in founders[FOUNDERS_MAX:]]


def _between_peers(strange: list[Act], ties: list[Tie]) -> list[Act]:
    """The same acts, but a stranger that gives news to two machines gives it to two that list each other, if the first
    one has a link at all.
    """
    linked = [(tie.dialler, tie.acceptor) for tie in ties if tie.scheme == "ws"]
    peers = {one: other for pair in linked for one, other in (pair, pair[::-1])}
    return [
        msgspec.structs.replace(act, other=peers.get(act.machine, act.other)) if act.action is Action.LINK_BOTH else act
        for act in strange
    ]
