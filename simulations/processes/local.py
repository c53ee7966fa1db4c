"""A local network: many nodes as real processes on loopback. Operators and clients use it over HTTP only.

Each round breaks something: it cuts the network into two halves by removing peers, or it kills some nodes. Then users
write to the nodes that still answer, and the round repairs everything. At the end all nodes are up and linked, and the
run measures the time until all hold the same records. It shows what needs a real kernel: sockets, files, `kill -9`, and
many processes at once. Faults of the network and of clocks are simulated in virtual time (`simulations.cluster`).
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus
from itertools import chain, combinations
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from node.client.answers import signed_records
from node.client.errors import Unreachable
from node.client.http import NodeClient
from node.client.targets import path_of
from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey
from simulations.processes.process import LocalNode

DOMAIN: Final = "local.example"
CONVERGE_S_MAX: Final = 120.0
POLL_S: Final = 0.05
BATCH_RECORDS: Final = 20
IDS_PER_REQUEST: Final = 100
USERS: Final = 16
CHORD_SHARE: Final = 0.5
"""Additional links for each node of the ring, so that ways are short and redundant."""

STARTED_AT_ONCE: Final = 6
"""Each start takes a second of one core, so with more at once every node would start late."""

UPDATE_SHARE: Final = 0.4
"""The share of writes that update a label of the same user."""

RIVAL_SHARE: Final = 0.05
"""The share of writes that claim a label of another user."""

KILLED_SHARE: Final = 0.2
"""The share of nodes that a round kills."""

CUT_SHARE: Final = 0.5
"""The share of rounds that cut links. The others kill nodes."""

Edge = tuple[int, int]
"""The numbers of the node that dials and of the node that is dialled."""

ShowProgress = Callable[[str, int, int], None]
"""Takes what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class LocalPlan:
    """What to run. Every random choice follows from `seed`. The order in which the kernel runs processes does not."""

    nodes: int = 20
    records: int = 2_000
    rounds: int = 4
    seed: int = 1


@dataclass
class LocalResult:
    """The result of a run. The last wait begins when everything is repaired.

    `unanswered`: records in requests without an answer. `faults`: what the rounds broke. `seconds`: how long the last
    wait took until all nodes held the same records, None: they never did. `lost`: ids of acknowledged records that are
    gone. `contested`: labels with rival founders. `is_one_state`: all nodes show the same heads.
    """

    nodes: int
    links: int
    acknowledged: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    unanswered: int = 0
    faults: list[str] = field(default_factory=list)
    differing: list[tuple[float, int]] = field(default_factory=list)
    """During the last wait: seconds since it began, and how many different sets of records the nodes held."""
    seconds: float | None = None
    lost: list[str] = field(default_factory=list)
    contested: int = 0
    is_one_state: bool = False
    edges: list[Edge] = field(default_factory=list)
    agreed_s: list[float] = field(default_factory=list)
    """For each node, from which second of the last wait on it held the final set. Empty: nodes differ at the end."""
    copies: int = 0
    """Records that came from peers since each node started."""
    news: int = 0
    """How many of the copies were new to the node that got them."""
    reverted: int = 0
    """Heads that were taken back since each node started."""
    link_bytes: int = 0
    """Bytes over the links that were open at the end."""

    @property
    def is_good(self) -> bool:
        return self.seconds is not None and self.is_one_state and not self.lost


class LocalNetwork:
    """The nodes as processes. `up`: the numbers of those that run. `edges`: which node dials which."""

    def __init__(self, folder: Path, count: int, random: Random) -> None:
        """`folder`: holds the nodes' data folders. `count`: the number of nodes."""
        self.nodes = [LocalNode(f"node-{number}", folder / f"node-{number}") for number in range(count)]
        self.up: set[int] = set()
        self.edges = ring_with_chords(count, random)
        self._clients: dict[int, NodeClient] = {}
        self._keys: dict[int, str] = {}

    def start(self, numbers: list[int]) -> Iterator[int]:
        """Start these nodes, some of them at once. Yields each number when its node answers."""
        for begin in range(0, len(numbers), STARTED_AT_ONCE):
            wave = numbers[begin : begin + STARTED_AT_ONCE]
            for number in wave:
                self.nodes[number].launch()
                self.up.add(number)
            for number in wave:
                self.nodes[number].await_ready()
                self._clients[number] = self.nodes[number].client()
                self._keys[number] = self._clients[number].get("/node")["node"]
                yield number

    def kill(self, number: int) -> None:
        self.nodes[number].kill()
        self.up.discard(number)

    def stop(self) -> None:
        for number in self.up:
            self.nodes[number].process.terminate()
        for number in self.up:
            self.nodes[number].stop()

    def client(self, number: int) -> NodeClient:
        return self._clients[number]

    def link(self, edge: Edge) -> None:
        """Let one node dial the other, to push and to pull, and let the other accept its pushes."""
        dialler, dialled = edge
        self._put_peer(dialled, key=self._keys[dialler], accept=True)
        self._put_peer(dialler, url=self.nodes[dialled].link_url, push=True, pull=True)

    def unlink(self, edge: Edge) -> None:
        dialler, dialled = edge
        self._clients[dialler].ask("DELETE", "/peers", {"url": self.nodes[dialled].link_url}).check()

    def sets(self) -> list[str]:
        """The fingerprint of the records of each node that runs."""
        held = [self._clients[number].get("/node")["domains"].get(DOMAIN) for number in sorted(self.up)]
        return ["" if it is None else it["fingerprint"] for it in held]

    def _put_peer(self, number: int, **peer: Any) -> None:
        self._clients[number].ask("PUT", "/peers", body=msgspec.json.encode(peer)).check()


def ring_with_chords(count: int, random: Random) -> list[Edge]:
    """A ring of this many nodes, with chords across it."""
    ring = {(number, (number + 1) % count) for number in range(count)} if count > 2 else {(0, count - 1)}
    linked = {frozenset(edge) for edge in ring}
    apart = [edge for edge in combinations(range(count), 2) if frozenset(edge) not in linked]
    chords = random.sample(apart, min(len(apart), int(count * CHORD_SHARE)))
    return sorted(edge for edge in [*ring, *chords] if edge[0] != edge[1])


class People:
    """The users: they found labels, update their own, and sometimes claim a label of another user."""

    def __init__(self, random: Random) -> None:
        """`random`: draws their keys and what they write."""
        self._random = random
        self._keys = [SigningKey(random.randbytes(32)) for _ in range(USERS)]
        self._labels: list[tuple[int, str, int]] = []  # the founder's number, the name, the newest timestamp
        self._count = 0

    def write(self) -> SignedRecord:
        """The next record of some user."""
        chance = self._random.random()
        if self._labels and chance < RIVAL_SHARE:
            owner, label, _ = self._random.choice(self._labels)
            rival = (owner + 1 + self._random.randrange(USERS - 1)) % USERS
            return self._sign(rival, label, int(time.time()))
        if self._labels and chance < RIVAL_SHARE + UPDATE_SHARE:
            user, label, before = self._labels.pop(self._random.randrange(len(self._labels)))
        else:
            user, label, before = self._random.randrange(USERS), f"label-{self._count}", 0
        at = max(int(time.time()), before + 1)
        self._labels.append((user, label, at))
        return self._sign(user, label, at)

    def _sign(self, user: int, label: str, at: int) -> SignedRecord:
        self._count += 1
        key = self._keys[user]
        body = {"domain": DOMAIN, "label": label, "signedby": key.public, "timestamp": at, "number": self._count}
        return sign(make(body), key)


@contextmanager
def started(plan: LocalPlan, folder: Path, show_progress: ShowProgress) -> Iterator[LocalNetwork]:
    """Start and link the network of the plan, and stop it when the block ends."""
    network = LocalNetwork(folder, plan.nodes, Random(plan.seed))
    try:
        for done, _ in enumerate(network.start(list(range(plan.nodes))), 1):
            show_progress("starting", done, plan.nodes)
        for done, edge in enumerate(network.edges, 1):
            network.link(edge)
            show_progress("linking", done, len(network.edges))
        yield network
    finally:
        network.stop()


def run_local(plan: LocalPlan, folder: Path, show_progress: ShowProgress) -> LocalResult:
    """Run the whole plan. Lost records and nodes that differ are part of the result, and no error."""
    random = Random(plan.seed + 1)
    with started(plan, folder, show_progress) as network:
        result = LocalResult(plan.nodes, len(network.edges), edges=network.edges)
        people = People(random)
        acknowledged: list[str] = []
        for number in range(plan.rounds):
            with broken(network, random, result):
                acknowledged += write(network, people, random, plan.records // plan.rounds, result)
            show_progress("rounds of faults", number + 1, plan.rounds)
        converge(network, result, show_progress)
        check_end(network, acknowledged, result)
        add_metrics(network, result)
    return result


@contextmanager
def broken(network: LocalNetwork, random: Random, result: LocalResult) -> Iterator[None]:
    """Break something in the network, and repair it when the block ends."""
    if random.random() < CUT_SHARE:
        cut = crossing(network, random)
        result.faults.append(f"links cut between two halves: {len(cut)}")
        for edge in cut:
            network.unlink(edge)
        yield
        for edge in cut:
            network.link(edge)
    else:
        victims = random.sample(range(len(network.nodes)), max(1, int(len(network.nodes) * KILLED_SHARE)))
        result.faults.append(f"killed: {len(victims)}")
        for victim in victims:
            network.kill(victim)
        yield
        for _ in network.start(victims):
            pass


def crossing(network: LocalNetwork, random: Random) -> list[Edge]:
    """The links between two halves of the nodes, which chance draws."""
    half = set(random.sample(range(len(network.nodes)), len(network.nodes) // 2))
    return [edge for edge in network.edges if len(half.intersection(edge)) == 1]


def write(network: LocalNetwork, people: People, random: Random, count: int, result: LocalResult) -> list[str]:
    """Let people write `count` records to nodes that run. Returns the ids of the acknowledged records."""
    acknowledged: list[str] = []
    for _ in range(0, count, BATCH_RECORDS):
        batch = {
            it.signature: msgspec.Raw(it.record.canonical) for it in (people.write() for _ in range(BATCH_RECORDS))
        }
        number = random.choice(sorted(network.up))
        try:
            answers = network.client(number).ask("PUT", "/claims", body=msgspec.json.encode(batch)).value()
        except Unreachable:
            result.unanswered += len(batch)
            continue
        for answer in answers.values():
            if answer["status"] == "accepted":
                acknowledged.append(answer["id"])
            elif answer["status"] == "refused":
                result.refused[answer["code"]] = result.refused.get(answer["code"], 0) + 1
    result.acknowledged += len(acknowledged)
    return acknowledged


def converge(network: LocalNetwork, result: LocalResult, show_progress: ShowProgress) -> None:
    """Wait until all nodes hold the same set, and note meanwhile how many different sets there are."""
    begun = time.monotonic()
    seen: list[tuple[float, list[str]]] = []
    while time.monotonic() - begun < CONVERGE_S_MAX:
        sets = network.sets()
        different = len(set(sets))
        elapsed_s = time.monotonic() - begun
        seen.append((round(elapsed_s, 3), sets))
        result.differing.append((seen[-1][0], different))
        show_progress("converging", len(network.nodes) - different + 1, len(network.nodes))
        if different == 1:
            result.seconds = seen[-1][0]
            result.agreed_s = [held_since(seen, place, sets[0]) for place in range(len(sets))]
            return
        time.sleep(POLL_S)


def held_since(seen: Sequence[tuple[float, list[str]]], place: int, fingerprint: str) -> float:
    """From which second on the node at this place held the set with this fingerprint, without a break until the end.

    `seen`: for each look, its second and the fingerprint of each node.
    """
    found = seen[-1][0]
    for at_s, sets in reversed(seen):
        if sets[place] != fingerprint:
            break
        found = at_s
    return found


def add_metrics(network: LocalNetwork, result: LocalResult) -> None:
    """Add the sums over all nodes' metrics to the result."""
    totals: Counter[str] = Counter()
    for number in network.up:
        text = network.client(number).ask("GET", "/metrics").body.decode()
        for sample in chain.from_iterable(family.samples for family in text_string_to_metric_families(text)):
            for label in sample.labels.values():
                for figure in _COUNTED.get((sample.name, label), ()):
                    totals[figure] += int(sample.value)
    result.copies, result.news = totals["copies"], totals["news"]
    result.reverted, result.link_bytes = totals["reverted"], totals["bytes"]


_COUNTED: Final = {
    ("dnarc_records_accepted_total", "peer"): ("copies", "news"),
    ("dnarc_records_known_total", "peer"): ("copies",),
    ("dnarc_events_total", "reverted"): ("reverted",),
    ("dnarc_link_bytes_total", "out"): ("bytes",),
}
"""By the name of a metric and the value of one of its labels: the figures to which the metric is added."""


def check_end(network: LocalNetwork, acknowledged: list[str], result: LocalResult) -> None:
    """Check that every acknowledged record is there, and that all nodes show the same heads."""
    answers = [sha256(network.client(number).ask("GET", f"/claims/{DOMAIN}").body).digest() for number in network.up]
    result.is_one_state = len(set(answers)) == 1
    client = network.client(min(network.up))
    for start in range(0, len(acknowledged), IDS_PER_REQUEST):
        ids = acknowledged[start : start + IDS_PER_REQUEST]
        answer = client.ask("GET", "/records?" + "&".join(f"id={it}" for it in ids))
        found = {it.record.id for it in signed_records(answer.body)} if answer.status == HTTPStatus.OK else set()
        result.lost += [it for it in ids if it not in found]
    heads = signed_records(client.ask("GET", f"/claims/{DOMAIN}").body)
    histories = (client.get(path_of("claims", DOMAIN, it.record.label) + "/history") for it in heads)
    result.contested = sum(history["contested"] for history in histories)
