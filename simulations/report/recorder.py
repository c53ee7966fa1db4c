"""A recorder: notes which records every node of a cluster gets, when, and from which peer, without changing the run.

It draws no random numbers and writes nothing into the trace, so a run has the same digest with and without it. It keeps
values only, so that it can be asked after the machines have ended.
"""

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from node.intake.arrivals import Delivery
from node.intake.commits import Committed
from node.intake.counts import IntakeCounts
from node.node import Node
from node.store.contract import LabelKey
from protocol.records.admission import Trust
from protocol.records.change import EventType
from protocol.records.record import Record, SignedRecord
from protocol.records.replay import Verdict
from protocol.sets.index import key_id
from simulations.judges.oracle import ownership

if TYPE_CHECKING:
    from simulations.cast.machine import Machine
    from simulations.cluster import Cluster


class RecordArrival(msgspec.Struct, frozen=True):
    """A record came to a machine for the first time.

    `at_s`: when it was durable there. `taken_s`: when it was decided and passed on, which is earlier. `source`: the
    machine that sent it over a link, empty if it came from a client or over plain HTTP.
    """

    at_s: float
    taken_s: float
    machine: str
    source: str


class Reversal(msgspec.Struct, frozen=True):
    """A node took back the head of a label."""

    at_s: float
    machine: str
    label: str
    reason: str


class Recorder:
    """What happened to records. `sets` and `heads`: for each second with a change, how many different sets of records,
    or of heads, the machines held.
    """

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.arrivals: dict[str, dict[str, RecordArrival]] = {}
        """By record and by machine, in the order of arrival."""
        self.verdicts: dict[str, Verdict] = {}
        """By record: the last verdict of any node."""
        self.reversals: list[Reversal] = []
        self.sets: list[tuple[float, int]] = []
        self.heads: list[tuple[float, int]] = []
        self._held = _SetSums()
        self._shown = _SetSums()
        self._heads: dict[str, dict[LabelKey, int]] = {}
        self._intakes: list[IntakeCounts] = []
        self._taken: dict[tuple[str, str], tuple[str, float]] = {}
        self._cluster: Cluster

    def watch(self, cluster: "Cluster") -> None:
        """Record this cluster, which has no machines yet."""
        self._cluster = cluster
        cluster.watchers.append(self._on_start)

    @property
    def cluster(self) -> "Cluster":
        return self._cluster

    def received_copies(self) -> tuple[int, int]:
        """How many copies of records came from peers, and how many of them were new to their node."""
        news = sum(n for it in self._intakes for (trust, _), n in it.accepted.items() if trust is Trust.PEER)
        return news + sum(it.known[Trust.PEER] for it in self._intakes), news

    def reversals_by_label(self) -> Counter[str]:
        """How often heads of each label were taken back, over all nodes."""
        return Counter(it.label for it in self.reversals)

    def _on_start(self, machine: "Machine", node: Node) -> None:
        name = machine.name
        indexes = (node.indexes.get(domain) for domain in node.indexes.domains())
        keys = [key for index in indexes if index is not None for key in index.keys(0, len(index))]
        self._held.begin(name)
        for key in keys:
            self._held.mix(name, int.from_bytes(key_id(key)))
        self._shown.begin(name)
        self._heads[name] = {}
        for label, history in (machine.disk.histories() if keys else {}).items():
            chain = ownership(past.record for past in history).chain
            if chain:
                self._set_head(name, label, chain[-1])
        self._intakes.append(node.ingest.intake)
        node.ingest.announcers.append(lambda records, delivery: self._on_announced(name, node, records, delivery))
        node.commits.watchers.append(lambda committed: self._on_commit(name, committed))
        self._count_states()

    def _on_announced(self, name: str, node: Node, records: Sequence[SignedRecord], delivery: Delivery) -> None:
        link = node.links.by_number.get(delivery.link) if delivery.link is not None else None
        key = link.peer_key if link is not None else None
        sender = next((it.name for it in self._cluster.machines.values() if it.key == key), "") if key else ""
        now_s = self._cluster.simulation.loop.time()
        for signed in records:
            self._taken[name, signed.record.id] = sender, now_s

    def _on_commit(self, name: str, committed: Committed) -> None:
        now_s = self._cluster.simulation.loop.time()
        for stored in committed.batch.records:
            record = stored.signed.record
            self.records.setdefault(record.id, record)
            self._held.mix(name, int(record.id, 16))
            self.verdicts[record.id] = stored.verdict
            source, taken_s = self._taken.pop((name, record.id), ("", now_s))
            self.arrivals.setdefault(record.id, {}).setdefault(name, RecordArrival(now_s, taken_s, name, source))
        self.verdicts |= committed.batch.verdicts
        for event in committed.batch.events:
            if event.type is EventType.REVERTED:
                self.reversals.append(Reversal(now_s, name, event.record.label, event.reason or ""))
            self._set_head(name, (event.record.domain, event.record.label), event.record.id)
        self._count_states()

    def _set_head(self, name: str, label: LabelKey, record_id: str) -> None:
        digest = blake2b(repr((label, record_id)).encode(), digest_size=16).digest()
        after = int.from_bytes(digest)
        self._shown.mix(name, self._heads[name].get(label, 0) ^ after)
        self._heads[name][label] = after

    def _count_states(self) -> None:
        now_s = self._cluster.simulation.loop.time()
        _add_point(self.sets, now_s, self._held.different)
        _add_point(self.heads, now_s, self._shown.different)


class _SetSums:
    """A sum for each machine over the digests that it holds (their exclusive or), and how many different sums there
    are.
    """

    def __init__(self) -> None:
        self._sums: dict[str, int] = {}
        self._counts: Counter[int] = Counter()

    @property
    def different(self) -> int:
        return len(self._counts)

    def begin(self, name: str) -> None:
        """Let the machine hold nothing, whatever it held before."""
        self._forget(name)
        self._put(name, 0)

    def mix(self, name: str, digest: int) -> None:
        """Add a digest to the machine's sum, or remove it if the sum has it."""
        after = self._sums[name] ^ digest
        self._forget(name)
        self._put(name, after)

    def _put(self, name: str, value: int) -> None:
        self._sums[name] = value
        self._counts[value] += 1

    def _forget(self, name: str) -> None:
        before = self._sums.pop(name, None)
        if before is None:
            return
        self._counts[before] -= 1
        if not self._counts[before]:
            del self._counts[before]


def _add_point(series: list[tuple[float, int]], now_s: float, value: int) -> None:
    """Add a point if the value has changed. Of several points at one moment the last one stays."""
    if series and series[-1][0] == now_s:
        series.pop()
    if not series or series[-1][1] != value:
        series.append((now_s, value))
