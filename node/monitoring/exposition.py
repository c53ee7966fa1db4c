"""Exposition: a node's figures for Prometheus (https://prometheus.io/docs/instrumenting/writing_exporters).

One table holds every metric with its type, its labels and its meaning. `docs/operations.md` prints the same table. The
values are read from the node's parts when a scraper asks.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from math import inf
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric

from node.console import log
from node.convergence import Convergence
from node.disk import store_bytes
from node.duplicate_keys import DuplicateKeys
from node.fairness.crowd import Crowd
from node.fleet.relay import Relay
from node.fleet.standing import Role, Standing
from node.http_sync.schedule import Sync
from node.indexes import Indexes
from node.intake.commits import Commits
from node.intake.ingest import Ingest
from node.intake.usage import largest
from node.links import Links
from node.links.running_link import RunningLink
from node.metrics import Histogram, Traffic
from node.monitoring.health import Health
from node.monitoring.peer_states import PeerStates
from node.monitoring.witness_figures import Figure, figures_of
from node.passwords import hidden
from node.peer_state import Condition
from node.removal.erased import Erased
from node.removal.work import RemovalWork
from node.settings.description import describe
from node.settings.settings import Settings
from node.store.removals import RemovalKind
from node.streams import Streams
from node.version import VERSION
from node.witness.watched import WatchedDomains
from node.world import World
from node.write_plugin.plugin import WritePlugin


class Kind(StrEnum):
    """The types of metrics, by Prometheus' names."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Family(msgspec.Struct, frozen=True):
    """A metric: its name, type and meaning, and the names of its labels."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


_PEER = ("peer", "direction")
_OUTCOME = ("peer", "outcome")
_DOMAIN = ("domain",)
_WITNESS = ("domain", "witness")

FAMILIES: Final = (
    Family("dnarc_info", Kind.GAUGE, "Always 1: the version, and the node's key.", ("version", "node")),
    Family("dnarc_healthy", Kind.GAUGE, "1 where nothing is wrong, else 0: GET /health says what."),
    Family("dnarc_warnings", Kind.GAUGE, "What GET /health warns of: the node works, and somebody should look."),
    Family("dnarc_setting", Kind.GAUGE, "Each setting that is a number; none is +Inf.", ("name",)),
    Family("dnarc_listens_publicly", Kind.GAUGE, "1 where the node listens on more than loopback, else 0."),
    Family("dnarc_domains", Kind.GAUGE, "Domains that hold records."),
    Family("dnarc_records", Kind.GAUGE, "Records held, accepted or not."),
    Family("dnarc_records_accepted_total", Kind.COUNTER, "Records taken, by replay's verdict.", ("trust", "verdict")),
    Family("dnarc_records_known_total", Kind.COUNTER, "Records that came and were here already.", ("trust",)),
    Family("dnarc_records_refused_total", Kind.COUNTER, "Records not taken, by the reason's code.", ("trust", "code")),
    Family(
        "dnarc_plugin_records_total", Kind.COUNTER, "Records that the write plug-in judged, or failed to.", ("result",)
    ),
    Family("dnarc_plugin_waiting_records", Kind.GAUGE, "Records that wait for the write plug-in."),
    Family("dnarc_plugin_seconds", Kind.HISTOGRAM, "From a question to the write plug-in until its answer."),
    Family("dnarc_plugin_restarts_total", Kind.COUNTER, "How often the write plug-in was started again."),
    Family("dnarc_events_total", Kind.COUNTER, "Heads that moved on, or were taken back (reverted).", ("type",)),
    Family("dnarc_admission_seconds", Kind.HISTOGRAM, "From the arrival of a group of records until it is on disk."),
    Family("dnarc_verification_seconds", Kind.HISTOGRAM, "What a group waited until its signatures were checked."),
    Family("dnarc_signatures_verified_total", Kind.COUNTER, "Signatures checked."),
    Family("dnarc_commit_seconds", Kind.HISTOGRAM, "Time of one transaction of the store."),
    Family("dnarc_commit_records", Kind.HISTOGRAM, "Records in one transaction."),
    Family("dnarc_in_flight_records", Kind.GAUGE, "Records on their way from arrival to disk."),
    Family("dnarc_in_flight_bytes", Kind.GAUGE, "Bytes of those records, as they came."),
    Family("dnarc_verification_queue_records", Kind.GAUGE, "Records whose signatures are being checked."),
    Family("dnarc_uncommitted_records", Kind.GAUGE, "Records decided and not yet on disk."),
    Family("dnarc_http_requests_total", Kind.COUNTER, "Requests answered.", ("method", "route", "status")),
    Family("dnarc_connections", Kind.GAUGE, "Connections that others have open here."),
    Family("dnarc_connections_refused_total", Kind.COUNTER, "Connections turned away past connections_max."),
    Family("dnarc_strangers", Kind.GAUGE, "Addresses of strangers that caused work within the last 2 seconds."),
    Family("dnarc_strangers_work_seconds_total", Kind.COUNTER, "Time of a core that the work of all strangers took."),
    Family("dnarc_strangers_delayed_total", Kind.COUNTER, "Times that work of a stranger waited for a used-up share."),
    Family("dnarc_strangers_refused_total", Kind.COUNTER, "Requests and links refused because a share was used up."),
    Family("dnarc_streams", Kind.GAUGE, "Consumers of /stream and /events."),
    Family("dnarc_sync_runs_total", Kind.COUNTER, "Runs with a plain HTTP peer, ok or failed.", (*_PEER, "result")),
    Family("dnarc_sync_records_total", Kind.COUNTER, "Records carried by those runs.", (*_PEER, "outcome")),
    Family("dnarc_sync_repaired_total", Kind.COUNTER, "Records that only a comparison of ids found.", _PEER),
    Family("dnarc_sync_seconds_total", Kind.COUNTER, "Time that those runs took.", _PEER),
    Family("dnarc_sync_success_timestamp_seconds", Kind.GAUGE, "When the last run without an error ended.", _PEER),
    Family("dnarc_links", Kind.GAUGE, "Open links by state: live, catching_up or behind.", ("state",)),
    Family("dnarc_link_bytes_total", Kind.COUNTER, "Bytes of frames on an open link, in or out.", ("peer", "way")),
    Family("dnarc_link_frames_total", Kind.COUNTER, "Frames on an open link, in or out.", ("peer", "way")),
    Family("dnarc_link_records_total", Kind.COUNTER, "Records on an open link, by what they became.", _OUTCOME),
    Family("dnarc_link_repaired_total", Kind.COUNTER, "Records that only a reconciliation found.", ("peer",)),
    Family("dnarc_link_reconcile_rounds_total", Kind.COUNTER, "Messages of reconciliations answered.", ("peer",)),
    Family("dnarc_link_reconcile_bytes_total", Kind.COUNTER, "Bytes of those and of the answers.", ("peer",)),
    Family("dnarc_link_round_trip_seconds", Kind.GAUGE, "The last round trip on an open link.", ("peer",)),
    Family("dnarc_link_queue_records", Kind.GAUGE, "Live records that wait for a peer to take more.", ("peer",)),
    Family(
        "dnarc_link_eager",
        Kind.GAUGE,
        "1 where live records are pushed on a link, 0 where only their ids are announced.",
        ("peer",),
    ),
    Family("dnarc_duplicate_keys", Kind.GAUGE, "Keys, of this node and its peers, with which two nodes run."),
    Family("dnarc_peer_state", Kind.GAUGE, "1 for the state that a peer is in, else 0.", ("peer", "state")),
    Family("dnarc_peer_failing_seconds", Kind.GAUGE, "How long a peer has been failing or refused.", ("peer",)),
    Family("dnarc_convergence_lag_seconds", Kind.GAUGE, "Since a comparison found a peer in step.", ("peer",)),
    Family("dnarc_witnessed_domains", Kind.GAUGE, "Witnessed domains that hold records; the next rows: those watched."),
    Family("dnarc_undecided_records", Kind.GAUGE, "Records that wait for a decision of the witnesses.", _DOMAIN),
    Family("dnarc_slot_open_seconds", Kind.GAUGE, "How long the oldest open slot waits for a decision.", _DOMAIN),
    Family("dnarc_doubly_decided_slots", Kind.GAUGE, "Slots with two decided records: too many lied.", _DOMAIN),
    Family("dnarc_ordered_seconds", Kind.HISTOGRAM, "From the arrival of a record until it is ordered.", _DOMAIN),
    Family("dnarc_final_seconds", Kind.HISTOGRAM, "From the arrival of a record until it is final.", _DOMAIN),
    Family("dnarc_witness_lag_seconds", Kind.GAUGE, "Since the newest receipt of a witness; never: +Inf.", _WITNESS),
    Family("dnarc_witness_forks", Kind.GAUGE, "Places where a witness contradicts itself.", _WITNESS),
    Family("dnarc_witness_unheard", Kind.GAUGE, "1 where the oldest open slot waits for a witness, else 0.", _WITNESS),
    Family(
        "dnarc_witness_silent",
        Kind.GAUGE,
        "1 for the reason why this node says nothing as a witness, else 0.",
        ("domain", "reason"),
    ),
    Family("dnarc_witness_open_slots", Kind.GAUGE, "Slots that this node as a witness still works on.", _DOMAIN),
    Family("dnarc_witness_round", Kind.GAUGE, "The highest round of those slots.", _DOMAIN),
    Family("dnarc_domain_records", Kind.GAUGE, "Records of each of the 20 domains with the most bytes.", _DOMAIN),
    Family("dnarc_domain_bytes", Kind.GAUGE, "Bytes of those records.", _DOMAIN),
    Family("dnarc_removals_total", Kind.COUNTER, "Removals that the operator began since the start.", ("kind",)),
    Family("dnarc_erased_records_total", Kind.COUNTER, "Records whose bodies were erased or dropped since the start."),
    Family("dnarc_erased_asked_total", Kind.COUNTER, "Erased records that somebody asked for over HTTP by their ids."),
    Family("dnarc_unfinished_removals", Kind.GAUGE, "Removals that wait for their turn or are under way."),
    Family("dnarc_data_bytes", Kind.GAUGE, "Size of each file of the store.", ("file",)),
    Family("dnarc_disk_free_bytes", Kind.GAUGE, "Free space where the data folder is."),
    Family("dnarc_fleet_role", Kind.GAUGE, "1 for the role of this process in its fleet, else 0.", ("role",)),
    Family("dnarc_fleet_term", Kind.GAUGE, "The term of the writer. It rises with each takeover."),
    Family("dnarc_fleet_commit", Kind.GAUGE, "The number of the last commit that this process has."),
    Family("dnarc_fleet_lag_seconds", Kind.GAUGE, "How far this process may be behind the writer."),
    Family("dnarc_fleet_relayed_total", Kind.COUNTER, "Requests and links passed on to the writer.", ("result",)),
    Family("dnarc_log_dropped_total", Kind.COUNTER, "Lines of the log that were dropped because nobody read them."),
)

DOMAINS_SHOWN: Final = 20
"""Domains with figures of their own. More would be a burden for Prometheus, because anybody can found domains."""

_BY_NAME: Final = {family.name: family for family in FAMILIES}


@dataclass(frozen=True)
class Sources:
    """The parts of a node whose figures are shown. `key` is the node's public key, 64 hex digits."""

    key: str
    settings: Settings
    world: World
    indexes: Indexes
    ingest: Ingest
    commits: Commits
    streams: Streams
    links: Links
    sync: Sync
    peer_states: PeerStates
    convergence: Convergence
    duplicate_keys: DuplicateKeys
    watched: WatchedDomains
    removals: RemovalWork
    erased: Erased
    plugin: WritePlugin | None
    traffic: Traffic
    crowd: Crowd
    health: Health
    standing: Standing | None
    relay: Relay | None


def registry_of(sources: Sources) -> CollectorRegistry:
    """A registry that collects the figures of a node and of its process."""
    registry = CollectorRegistry()
    registry.register(_Figures(sources))
    ProcessCollector(registry=registry)
    return registry


def markdown_table(families: Iterable[Family] = FAMILIES) -> str:
    """The families as a table for `docs/operations.md`."""
    rows = [f"| `{it.name}` | {it.kind} | {', '.join(it.labels)} | {it.help} |" for it in families]
    return "\n".join(("| metric | type | labels | meaning |", "|---|---|---|---|", *rows))


class _Figures:
    """A collector for Prometheus' client library. It reads the parts of the node at each scrape."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def describe(self) -> Iterable[Metric]:
        return [_empty(family) for family in FAMILIES]

    def collect(self) -> Iterable[Metric]:
        metrics = {family.name: _empty(family) for family in FAMILIES}
        parts = (
            self._about,
            self._held,
            self._records,
            self._removals,
            self._plugin,
            self._queues,
            self._connections,
            self._peers,
            self._syncs,
            self._links,
            self._witnesses,
            self._fleet,
        )
        for name, values, figure in chain.from_iterable(part() for part in parts):
            _add(metrics[name], _BY_NAME[name], values, figure)
        return metrics.values()

    def _about(self) -> Iterator[Figure]:
        sources = self._sources
        yield "dnarc_info", (VERSION, sources.key), 1
        yield "dnarc_healthy", (), not sources.health.problems()
        yield "dnarc_warnings", (), len(sources.health.warnings())
        yield "dnarc_listens_publicly", (), sources.settings.is_public
        yield "dnarc_log_dropped_total", (), log.dropped_lines()
        for setting in describe():
            value = getattr(sources.settings, setting.name)
            if setting.unit:
                yield "dnarc_setting", (setting.name,), inf if value is None else value

    def _held(self) -> Iterator[Figure]:
        indexes, data = self._sources.indexes, self._sources.settings.data
        sizes = [len(index) for name in indexes.domains() if (index := indexes.get(name)) is not None]
        yield "dnarc_domains", (), len(sizes)
        yield "dnarc_records", (), sum(sizes)
        for name, amount in largest(self._sources.ingest.usage.domains, DOMAINS_SHOWN):
            yield "dnarc_domain_records", (name,), amount.records
            yield "dnarc_domain_bytes", (name,), amount.size_bytes
        yield "dnarc_disk_free_bytes", (), self._sources.world.disk.free_bytes(data)
        for name, size_bytes in store_bytes(data).items():
            yield "dnarc_data_bytes", (name,), size_bytes

    def _records(self) -> Iterator[Figure]:
        intake, writes = self._sources.ingest.intake, self._sources.commits.writes
        for (trust, verdict), number in intake.accepted.items():
            yield "dnarc_records_accepted_total", (trust, verdict), number
        for trust, number in intake.known.items():
            yield "dnarc_records_known_total", (trust,), number
        for (trust, code), number in intake.refused.items():
            yield "dnarc_records_refused_total", (trust, code), number
        for event_type, number in writes.events.items():
            yield "dnarc_events_total", (event_type,), number
        yield "dnarc_admission_seconds", (), intake.admission_s
        yield "dnarc_verification_seconds", (), intake.verification_s
        yield "dnarc_signatures_verified_total", (), intake.verified
        yield "dnarc_commit_seconds", (), writes.commit_s
        yield "dnarc_commit_records", (), writes.commit_records

    def _removals(self) -> Iterator[Figure]:
        removals = self._sources.removals
        for kind in RemovalKind:
            yield "dnarc_removals_total", (kind,), removals.begun[kind]
        yield "dnarc_erased_records_total", (), removals.erased_records
        yield "dnarc_erased_asked_total", (), self._sources.erased.asked
        yield "dnarc_unfinished_removals", (), len(removals)

    def _plugin(self) -> Iterator[Figure]:
        plugin = self._sources.plugin
        if plugin is None:
            return
        counts = plugin.counts
        for result, number in (("accepted", counts.accepted), ("rejected", counts.rejected), ("failed", counts.failed)):
            yield "dnarc_plugin_records_total", (result,), number
        yield "dnarc_plugin_waiting_records", (), plugin.waiting
        yield "dnarc_plugin_seconds", (), counts.answer_s
        yield "dnarc_plugin_restarts_total", (), counts.restarts

    def _queues(self) -> Iterator[Figure]:
        ingest = self._sources.ingest
        yield "dnarc_in_flight_records", (), ingest.room.records
        yield "dnarc_in_flight_bytes", (), ingest.room.size_bytes
        yield "dnarc_verification_queue_records", (), ingest.unverified
        yield "dnarc_uncommitted_records", (), len(self._sources.commits.uncommitted)

    def _connections(self) -> Iterator[Figure]:
        traffic = self._sources.traffic
        for (method, route, status), number in traffic.requests.items():
            yield "dnarc_http_requests_total", (method, route, str(status)), number
        yield "dnarc_connections", (), traffic.connections
        yield "dnarc_connections_refused_total", (), traffic.connections_refused
        crowd = self._sources.crowd
        yield "dnarc_strangers", (), crowd.size(asyncio.get_running_loop().time())
        yield "dnarc_strangers_work_seconds_total", (), crowd.counts.work_s
        yield "dnarc_strangers_delayed_total", (), crowd.counts.delayed
        yield "dnarc_strangers_refused_total", (), crowd.counts.refused
        yield "dnarc_streams", (), len(self._sources.streams)

    def _peers(self) -> Iterator[Figure]:
        now_s = self._sources.world.now_s()
        peers = [peer for peer, _ in self._sources.peer_states.all()]
        yield "dnarc_duplicate_keys", (), len(list(self._sources.duplicate_keys.warnings(peers)))
        for peer, state in self._sources.peer_states.all():
            name = hidden(peer.name)
            for each in Condition:
                yield "dnarc_peer_state", (name, each), each is state.state
            yield "dnarc_peer_failing_seconds", (name,), state.failing_s(now_s)

    def _syncs(self) -> Iterator[Figure]:
        for name, direction, totals in self._sources.sync.totals():
            peer = (hidden(name), direction)
            for result, number in totals.runs.items():
                yield "dnarc_sync_runs_total", (*peer, result), number
            for outcome, number in totals.records.items():
                yield "dnarc_sync_records_total", (*peer, outcome), number
            yield "dnarc_sync_repaired_total", peer, totals.repaired
            yield "dnarc_sync_seconds_total", peer, totals.seconds
            if totals.succeeded_s is not None:
                yield "dnarc_sync_success_timestamp_seconds", peer, totals.succeeded_s
        for name, lag_s in self._sources.convergence.lags_s(asyncio.get_running_loop().time()).items():
            yield "dnarc_convergence_lag_seconds", (hidden(name),), lag_s

    def _links(self) -> Iterator[Figure]:
        """Figures of the open links. The series of a link end with the link, and those of the next link begin at 0."""
        links = self._sources.links
        by_name = {links.name_of(it): it for it in links.by_number.values() if it.is_open}
        for state, number in Counter(it.machine.state for it in by_name.values()).items():
            yield "dnarc_links", (state,), number
        for name, link in by_name.items():
            yield from _traffic_of(name, link)
            yield "dnarc_link_eager", (name,), links.is_eager(link)

    def _witnesses(self) -> Iterator[Figure]:
        return figures_of(self._sources.watched, self._sources.world.now_s())

    def _fleet(self) -> Iterator[Figure]:
        standing, relay = self._sources.standing, self._sources.relay
        if standing is None:
            return
        for role in Role:
            yield "dnarc_fleet_role", (role,), role is standing.role
        yield "dnarc_fleet_term", (), standing.term
        yield "dnarc_fleet_commit", (), standing.commit
        yield "dnarc_fleet_lag_seconds", (), standing.lag_s()
        for result, number in () if relay is None else relay.errands.results.items():
            yield "dnarc_fleet_relayed_total", (result,), number


def _traffic_of(name: str, link: RunningLink) -> Iterator[Figure]:
    counts, status = link.counts, link.machine.status()
    yield "dnarc_link_bytes_total", (name, "in"), counts.bytes_in
    yield "dnarc_link_bytes_total", (name, "out"), counts.bytes_out
    yield "dnarc_link_frames_total", (name, "in"), counts.frames_in
    yield "dnarc_link_frames_total", (name, "out"), counts.frames_out
    for outcome in ("accepted", "known", "refused", "erased"):
        yield "dnarc_link_records_total", (name, outcome), getattr(counts, outcome)
    yield "dnarc_link_records_total", (name, "sent"), status.sent
    yield "dnarc_link_records_total", (name, "withheld"), status.withheld
    yield "dnarc_link_repaired_total", (name,), counts.repaired
    yield "dnarc_link_reconcile_rounds_total", (name,), status.rounds
    yield "dnarc_link_reconcile_bytes_total", (name,), status.reconcile_bytes
    yield "dnarc_link_queue_records", (name,), status.queued
    if counts.round_trip_s is not None:
        yield "dnarc_link_round_trip_seconds", (name,), counts.round_trip_s


def _empty(family: Family) -> Metric:
    return Metric(family.name.removesuffix("_total"), family.help, family.kind)


def _add(metric: Metric, family: Family, values: tuple[str, ...], figure: float | Histogram) -> None:
    labels = dict(zip(family.labels, values, strict=True))
    if not isinstance(figure, Histogram):
        metric.add_sample(family.name, labels, figure)
        return
    count = 0
    for bound, count in figure.buckets():
        metric.add_sample(
            f"{family.name}_bucket", labels | {"le": "+Inf" if bound == inf else str(float(bound))}, count
        )
    metric.add_sample(f"{family.name}_count", labels, count)
    metric.add_sample(f"{family.name}_sum", labels, figure.total)
