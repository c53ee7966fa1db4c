"""What must hold: always, whatever happens; and in the end, once the faults are over.

Always, after every commit of every node: what it took is genuine; the label's state and every verdict are those of a
replay from scratch, by an oracle that shares no code with the node; nobody owns a label who neither founded it nor was
offered it; the set only grows; what was acknowledged is there after any crash; what is on its way is within its limit.

In the end: whatever one node holds is held by every node that it is to flow to. What is not there yet is named, node,
record and way, so that a run which does not end well says where to look.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from node.node import Node
from node.store.contract import Batch, LabelKey
from protocol.link.messages import RECORDS_MAX
from protocol.link.terms import LinkLimits
from protocol.records.record import Record
from protocol.records.replay import Verdict
from protocol.sets.index import EMPTY, key_id, key_timestamp
from simulations.cast.user import PATIENCE_S, Acknowledgement
from simulations.judges.oracle import ownership
from simulations.world.simulation import Simulation

if TYPE_CHECKING:
    from simulations.cast.cluster import Tie
    from simulations.cast.machine import Machine

FAULTS_KEPT: Final = 50

LIMITS_EVERY: Final = 16
"""Commits between two looks at all queues."""

HEADS_SHOWN: Final = 50

LONG_RECORDS: Final = 64
LONG_EVERY: Final = 16
"""A label with more records than that is replayed at every sixteenth, as a whole replay each time costs the square."""
_SHOWN: Final = 8


class Missing(msgspec.Struct, frozen=True):
    """Records that `source` holds and `target` lacks, though they are to flow there; `why` where a node is down."""

    source: str
    target: str
    domain: str
    ids: list[str]
    why: str = ""

    def __str__(self) -> str:
        names = ", ".join(record_id[:8] for record_id in self.ids[:_SHOWN])
        count = f"{len(self.ids)} records" if self.ids else self.why
        return f"{self.target} lacks {count} of {self.domain} that {self.source} holds: {names}".rstrip(": ")


def missing(machines: "Mapping[str, Machine]", ties: "Sequence[Tie]") -> list[Missing]:
    """What has not yet come to where it is to be, flow by flow."""
    found = []
    for source, target in dict.fromkeys(flow for tie in ties for flow in tie.flows):
        giver, taker = machines[source].node, machines[target].node
        if giver is None or taker is None:
            found.append(Missing(source, target, "", [], "whatever, as one of the two is down"))
            continue
        for domain in giver.indexes.domains():
            lacking = _lacking(giver, taker, domain)
            if lacking:
                found.append(Missing(source, target, domain, lacking))
    return found


def _lacking(giver: Node, taker: Node, domain: str) -> list[str]:
    """The ids that one holds and the other lacks, though it keeps the domain and their time has come there."""
    theirs, ours = giver.indexes.get(domain), taker.indexes.get(domain) or EMPTY
    kept = taker.settings.domains
    if theirs is None or theirs.fingerprint() == ours.fingerprint() or (kept is not None and domain not in kept):
        return []
    skew = taker.settings.max_skew
    newest = None if skew is None else int(taker.world.now_s()) + skew
    return [
        key_id(key).hex()
        for key in sorted(set(theirs).difference(ours))
        if newest is None or key_timestamp(key) <= newest
    ]


_LIMITS = LinkLimits()


class Checkers:
    """Watches every node of a run. `faults` says what did not hold, in words, with the time and the place."""

    def __init__(self, simulation: Simulation, acknowledgements: Sequence[Acknowledgement]) -> None:
        self.faults: list[str] = []
        self.commits = 0
        self._simulation = simulation
        self._acknowledgements = acknowledgements
        self._held: dict[str, dict[str, Record]] = {}
        self._labels: dict[str, dict[LabelKey, dict[str, Record]]] = {}
        self._excused: dict[str, list[tuple[float, float]]] = {}

    def watch(self, machine: "Machine", node: Node) -> None:
        """Look at a node that starts, and at each of its commits from now on."""
        name = machine.name
        self._take_stock(machine)
        node.commits.watchers.append(lambda committed: self._on_commit(name, node, committed.batch))

    def on_restore(self, machine: "Machine", backup_s: float, now_s: float) -> None:
        """The operator puts back a backup of that time: what came in between may be gone, but for what others have."""
        heard_s = now_s + PATIENCE_S  # an answer may be on its way while its machine is restored
        self._excused.setdefault(machine.name, []).append((backup_s, heard_s))
        self._held[machine.name] = {}

    def check_acknowledged(self, machines: "Mapping[str, Machine]") -> None:
        """That what was acknowledged is there, on the node that said so."""
        for acknowledgement in self._acknowledgements:
            node = machines[acknowledgement.machine].node
            if node is not None and not node.indexes.holds(acknowledgement.record):
                self._gone(acknowledgement)

    def check_stores(self, machines: "Mapping[str, Machine]") -> None:
        """That every verdict on every disk is the oracle's."""
        for name, machine in machines.items():
            for (_, label), history in machine.disk.histories().items():
                chain = frozenset(ownership(past.record for past in history).chain)
                for past in history:
                    if past.verdict.is_accepted is not (past.record.id in chain):
                        words = f"record {past.record.id[:8]} of {label} is kept as {past.verdict}"
                        self.fault(name, f"{words}, and replay says otherwise")

    async def check_heads(self, machines: "Mapping[str, Machine]") -> None:
        """That what a node shows as head of a label is the last of the oracle's chain."""
        for name, machine in machines.items():
            labels = list(self._labels.get(name, {}).items()) if machine.node is not None else []
            for key, history in labels[:HEADS_SHOWN]:
                shown = await machine.running.heads.get(*key)
                chain = ownership(history.values()).chain
                if (shown.id if shown else None) != (chain[-1] if chain else None):
                    self.fault(name, f"the head of {key[1]} that is shown is not the last record that replay accepts")

    def fault(self, where: str, words: str) -> None:
        """Something that must hold did not."""
        self._simulation.trace.note(where, "FAULT", words=words)
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(f"{self._simulation.loop.time():.3f} s, {where}: {words}")

    def _take_stock(self, machine: "Machine") -> None:
        """What is on the disk at the start: all that was committed before, and maybe what nobody was told of."""
        there = {signed.record.id: signed.record for signed in machine.disk.records()}
        for record in self._held.get(machine.name, {}).values():
            if record.id not in there:
                self.fault(machine.name, f"record {record.id[:8]} of {record.label} was committed, and is gone")
        for acknowledgement in self._acknowledgements:  # now, before a peer brings back what this node lost
            if acknowledgement.machine == machine.name and acknowledgement.record.id not in there:
                self._gone(acknowledgement)
        labels: dict[LabelKey, dict[str, Record]] = {}
        for record in there.values():
            labels.setdefault((record.domain, record.label), {})[record.id] = record
        self._held[machine.name], self._labels[machine.name] = there, labels

    def _gone(self, acknowledgement: Acknowledgement) -> None:
        """A fault, but where a backup was restored that is older."""
        record, gaps = acknowledgement.record, self._excused.get(acknowledgement.machine, [])
        if not any(begin_s <= acknowledgement.at_s <= end_s for begin_s, end_s in gaps):
            words = f"record {record.id[:8]} of {record.label} was acknowledged, and is gone"
            self.fault(acknowledgement.machine, words)

    def _on_commit(self, name: str, node: Node, batch: Batch) -> None:
        self.commits += 1
        held, labels = self._held[name], self._labels[name]
        for stored in batch.records:
            record = stored.signed.record
            if not self._simulation.verdicts.is_genuine(stored.signed):
                self.fault(name, f"record {record.id[:8]} was taken, and its signature is bad")
            if record.id in held:
                self.fault(name, f"record {record.id[:8]} was taken twice")
            held[record.id] = record
            labels.setdefault((record.domain, record.label), {})[record.id] = record
        self._simulation.trace.mix(name, [stored.signed.record.id for stored in batch.records])
        verdicts = {it.signed.record.id: it.verdict for it in batch.records} | batch.verdicts
        for key, state in batch.states.items():
            self._check_label(name, key, state.owner, verdicts)
        if self.commits % LIMITS_EVERY == 0:
            self._check_limits(name, node)

    def _check_limits(self, name: str, node: Node) -> None:
        """That nothing waits beyond what may wait. What is larger than all the room may be there alone."""
        room, settings = node.ingest.room, node.settings
        if room.records > settings.records_in_flight_max + RECORDS_MAX:
            self.fault(name, f"{room.records} records are on their way")
        for link in node.links.by_number.values():
            status = link.machine.status()
            if status.queued > _LIMITS.queued_max or status.in_flight_frames > _LIMITS.in_flight_frames_max:
                self.fault(name, f"{status.queued} records wait on a link, {status.in_flight_frames} frames in flight")

    def _check_label(self, name: str, key: LabelKey, owner: str | None, verdicts: Mapping[str, Verdict]) -> None:
        history = self._labels[name].get(key, {})
        if len(history) > LONG_RECORDS and len(history) % LONG_EVERY:
            return  # looked at now and then, and at the end
        judged = ownership(history.values())
        if owner != judged.owner:
            self.fault(name, f"{key[1]} is {_short(owner)}'s, and by replay it is {_short(judged.owner)}'s")
        chain = frozenset(judged.chain)
        for record_id, verdict in verdicts.items():
            if record_id in history and verdict.is_accepted is not (record_id in chain):
                self.fault(name, f"record {record_id[:8]} of {key[1]} is {verdict}, and replay says otherwise")


def _short(key: str | None) -> str:
    return "nobody" if key is None else key[:8]
