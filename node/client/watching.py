"""Watch a node from outside, for `dnarc top`.

Two scrapes of `/metrics` show what happened between them. `/peers`, `/node` and `/health` show the present state. The
newest records come from the stream of events. A thread of its own reads the stream, because the stream is silent while
nothing happens.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from node.client.errors import NodeError, Unreachable
from node.client.figures import Figures
from node.client.following import Follower
from node.client.http import NodeClient
from node.client.targets import path_of

NEWEST_MAX: Final = 50
"""How many records are remembered: more than a terminal has lines."""

FOUND_MAX: Final = 10
"""How many records are looked up at the start, before the stream brings any."""

COUNTERS: Final = {
    "accepted": "dnarc_records_accepted_total",
    "known": "dnarc_records_known_total",
    "refused": "dnarc_records_refused_total",
    "requests": "dnarc_http_requests_total",
    "commits": "dnarc_commit_seconds_count",
}
TIMES: Final = ("admission", "verification", "commit")
QUEUES: Final = (
    "in_flight_records", "in_flight_bytes", "verification_queue_records", "uncommitted_records", "connections",
    "streams",
)  # fmt: skip
UNDECIDED: Final = "dnarc_undecided_records"
LIMITS: Final = {
    "in_flight_records": "records_in_flight_max",
    "in_flight_bytes": "bytes_in_flight_max",
    "connections": "connections_max",
    "streams": "streams_max",
}
"""The setting that limits each queue."""


class PeerSeen(msgspec.Struct, frozen=True):
    """A peer as the node shows it.

    `push` and `pull` say which way records flow. `state` is None if the node does not tell it. `steps` counts
    domains by their step. `lag_s` is for how many seconds the two have not held the same records.
    """

    name: str
    push: bool
    pull: bool
    state: str | None
    steps: dict[str, int]
    lag_s: float | None
    error: str | None


class Newest(msgspec.Struct, frozen=True):
    """A record that came recently. `type` is the type of its event."""

    type: str
    domain: str
    label: str
    id: str
    timestamp: int
    signedby: str


class WitnessedSeen(msgspec.Struct, frozen=True):
    """A witnessed domain as the node shows it.

    `undecided` records wait, the oldest for `open_s` seconds. `final_ms` is the mean time until a record was final,
    None if no record became final. `troubles` are in words.
    """

    name: str
    undecided: int
    open_s: float
    final_ms: float | None
    troubles: list[str]


class Snapshot(msgspec.Struct, frozen=True):
    """A node at one moment. `rates` (per second) and `times_ms` (means) are over the `span_s` seconds before it."""

    url: str
    node: str
    version: str
    uptime_s: float
    span_s: float
    problems: list[str]
    warnings: list[str]
    domains: int
    records: int
    rates: dict[str, float]
    times_ms: dict[str, float | None]
    queues: dict[str, float]
    limits: dict[str, float]
    peers: list[PeerSeen]
    witnessed: list[WitnessedSeen]


class Watcher:
    """Asks one node repeatedly, and computes what happened between two answers."""

    def __init__(self, client: NodeClient) -> None:
        """Raises: Unreachable, NodeError."""
        self._client = client
        self._figures, self._scraped_s = self._scrape()

    def look(self) -> Snapshot:
        """The node now, and its rates since the last look. Raises: Unreachable, NodeError."""
        health: dict[str, Any] = msgspec.json.decode(self._client.ask("GET", "/health").body)
        node, peers = self._client.get("/node"), self._client.get("/peers")
        figures, scraped_s = self._scrape()
        span_s = max(scraped_s - self._scraped_s, 1e-3)
        before, self._figures, self._scraped_s = self._figures, figures, scraped_s
        return Snapshot(
            url=self._client.url,
            node=str(node["node"]),
            version=str(node["version"]),
            uptime_s=float(node["time"] - node["started"]),
            span_s=span_s,
            problems=health.get("problems", []),
            warnings=health.get("warnings", []),
            domains=int(figures.value("dnarc_domains") or 0),
            records=int(figures.value("dnarc_records") or 0),
            rates=_rates(before, figures, span_s),
            times_ms=_times_ms(before, figures),
            queues={name: figures.value(f"dnarc_{name}") or 0.0 for name in QUEUES},
            limits={name: figures.value("dnarc_setting", name=setting) or 0.0 for name, setting in LIMITS.items()},
            peers=[_view_peer(peer, figures) for peer in peers],
            witnessed=[_view_domain(name, before, figures) for name in figures.by("domain", UNDECIDED)],
        )

    def _scrape(self) -> tuple[Figures, float]:
        answer = self._client.ask("GET", "/metrics")
        answer.check()
        try:
            return Figures.read(answer.body.decode()), time.monotonic()
        except ValueError as error:
            raise Unreachable(f"{self._client.url} does not answer as a node does") from error


def find_newest(client: NodeClient) -> list[Newest]:
    """At most `FOUND_MAX` records with the newest timestamp of all. Raises: Unreachable, NodeError."""
    domains = client.get("/node")["domains"]
    if not any(held["count"] for held in domains.values()):
        return []
    name = max(domains, key=lambda domain: domains[domain]["newest"] or 0)
    query = {"history": "true", "since": str(domains[name]["newest"] or 0), "limit": str(FOUND_MAX)}
    records = [msgspec.json.decode(line)["record"] for line in client.lines(path_of("claims", name), query)]
    return [_newest_of("stored", "", record) for record in records]


def _newest_of(kind: str, record_id: str, record: dict[str, Any]) -> Newest:
    return Newest(kind, record["domain"], record["label"], record_id, record["timestamp"], record["signedby"])


class Listener:
    """Collects the newest events of a node in a thread, which connects again if it is cut off."""

    def __init__(self, connect: Callable[[], NodeClient]) -> None:
        self.events: deque[Newest] = deque(maxlen=NEWEST_MAX)
        self._follower = Follower(connect, [], None, self._on_trouble)
        self._ended = threading.Event()
        self.thread = threading.Thread(target=self._listen, name="events", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def end(self) -> None:
        """The thread ends at the next event, when its connection ends, or with the process."""
        self._ended.set()

    def _listen(self) -> None:
        with suppress(NodeError, Unreachable):  # the node has no such stream, or refuses it to us
            for event in self._follower.events():
                if self._ended.is_set():
                    return
                self.events.appendleft(_newest_of(event.type, event.id, msgspec.json.decode(event.record)))

    def _on_trouble(self, trouble: str, _wait_s: float) -> None:
        if self._ended.is_set():
            raise Unreachable(trouble)


def _view_domain(name: str, before: Figures, after: Figures) -> WitnessedSeen:
    silent = [why for why, is_so in after.by("reason", "dnarc_witness_silent", domain=name).items() if is_so]
    unheard = after.value("dnarc_witness_unheard", domain=name) or 0
    forked = [key for key, forks in after.by("witness", "dnarc_witness_forks", domain=name).items() if forks]
    doubly_decided = after.value("dnarc_doubly_decided_slots", domain=name) or 0
    troubles = [f"this node is silent: {why}" for why in silent]
    troubles += [f"{unheard:.0f} witnesses unheard"] if unheard else []
    troubles += [f"{len(forked)} witnesses forked"] if forked else []
    troubles += [f"{doubly_decided:.0f} places with two decided records"] if doubly_decided else []
    return WitnessedSeen(
        name=name,
        undecided=int(after.value(UNDECIDED, domain=name) or 0),
        open_s=after.value("dnarc_slot_open_seconds", domain=name) or 0.0,
        final_ms=_mean_ms(before, after, "dnarc_final_seconds", domain=name),
        troubles=troubles,
    )


def _rates(before: Figures, after: Figures, span_s: float) -> dict[str, float]:
    return {name: _growth(before, after, metric) / span_s for name, metric in COUNTERS.items()}


def _times_ms(before: Figures, after: Figures) -> dict[str, float | None]:
    """The mean of each time in milliseconds; None if nothing happened."""
    return {name: _mean_ms(before, after, f"dnarc_{name}_seconds") for name in TIMES}


def _mean_ms(before: Figures, after: Figures, metric: str, **labels: str) -> float | None:
    number = _growth(before, after, f"{metric}_count", **labels)
    total_s = _growth(before, after, f"{metric}_sum", **labels)
    return 1_000 * total_s / number if number else None


def _growth(before: Figures, after: Figures, metric: str, **labels: str) -> float:
    """How much a counter rose. If it fell, the node was restarted, and the counter began at 0."""
    was, now = before.value(metric, **labels) or 0.0, after.value(metric, **labels) or 0.0
    return now - was if now >= was else now


def _view_peer(peer: dict[str, Any], figures: Figures) -> PeerSeen:
    name = str(peer["url"] or peer["key"])
    link: dict[str, Any] = peer.get("link") or {}
    steps = list(peer.get("domains", {}).values())
    return PeerSeen(
        name=name,
        push=peer["push"],
        pull=peer["pull"],
        state=peer.get("state") or link.get("state"),
        steps={step: steps.count(step) for step in sorted(set(steps))},
        lag_s=figures.value("dnarc_convergence_lag_seconds", peer=name),
        error=peer.get("error"),
    )
