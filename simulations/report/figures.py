"""Figures of a recorded run: how fast records reached all nodes, what that cost, and how conflicts ended."""

from collections.abc import Sequence

import msgspec

from simulations.judges.oracle import ownership
from simulations.report.recorder import Recorder
from simulations.report.spread import Spread, SpreadStep, Topology
from simulations.report.words import count, seconds

SPREADS_SHOWN = 8


class DeliveryDelays(msgspec.Struct, frozen=True):
    """How long records took from the first node that held them to each other node, in rising order. `expected`: the
    number of deliveries if every node got every record.
    """

    delays_s: Sequence[float]
    expected: int


class Conflict(msgspec.Struct, frozen=True):
    """A label with rival records, and how the conflict ended.

    `accepted`: how many records its history has. `lost`: the others, in words. `taken_back`: how many heads were taken
    back, over all nodes. `reasons`: why, in words.
    """

    label: str
    owner: str
    accepted: int
    lost: str
    taken_back: int
    reasons: str


def delivery_delays(recorder: Recorder) -> DeliveryDelays:
    """The delays of all records. A record that a restored machine gets a second time does not count again."""
    delays = []
    for arrivals in recorder.arrivals.values():
        first, *others = arrivals.values()
        delays += [it.at_s - first.at_s for it in others]
    machines = len(recorder.cluster.machines)
    return DeliveryDelays(sorted(delays), len(recorder.arrivals) * (machines - 1))


def redundancy(recorder: Recorder) -> float | None:
    """Superfluous copies for each new record that came from a peer. None: no new record came from a peer."""
    copies, news = recorder.received_copies()
    return copies / news - 1 if news else None


def carried_bytes(recorder: Recorder) -> int:
    """The bytes that all wires carried."""
    return sum(wire.carried_bytes for wire in recorder.cluster.simulation.network.wires())


def tie_bytes(recorder: Recorder) -> list[tuple[str, str, int, int]]:
    """For each tie: dialler, acceptor, bytes to the acceptor, bytes to the dialler. The busiest tie is first."""
    cluster = recorder.cluster
    pairs = dict.fromkeys((tie.dialler, tie.acceptor) for tie in cluster.ties)
    found = []
    for one, other in pairs:
        here, there = cluster.machines[one], cluster.machines[other]
        found.append((one, other, cluster.wire(here, there).carried_bytes, cluster.wire(there, here).carried_bytes))
    return sorted(found, key=lambda it: -it[2] - it[3])


def conflicts(recorder: Recorder) -> list[Conflict]:
    """Every label on which a record lost or a head was taken back, in the order of names."""
    names = {user.key.public: name for name, user in recorder.cluster.users.items()}
    histories: dict[tuple[str, str], list[str]] = {}
    for record in recorder.records.values():
        histories.setdefault((record.domain, record.label), []).append(record.id)
    taken_back = recorder.reversals_by_label()
    found = []
    for (_, label), ids in sorted(histories.items()):
        judged = ownership(recorder.records[it] for it in ids)
        losers = [recorder.records[it] for it in ids if it not in judged.chain]
        if not losers and not taken_back[label]:
            continue
        lost = ", ".join(
            f"{names.get(it.signedby, it.signedby[:8])}'s {it.id[:8]} ({recorder.verdicts[it.id]})" for it in losers
        )
        reasons = ", ".join(sorted({it.reason for it in recorder.reversals if it.label == label}))
        owner = "nobody" if judged.owner is None else names.get(judged.owner, judged.owner[:8])
        found.append(Conflict(label, owner, len(judged.chain), lost or "none", taken_back[label], reasons))
    return found


def topology(recorder: Recorder) -> Topology:
    names = list(recorder.cluster.machines)
    number = {name: place for place, name in enumerate(names)}
    return Topology(names, [(number[tie.dialler], number[tie.acceptor]) for tie in recorder.cluster.ties])


def spreads(recorder: Recorder) -> list[Spread]:
    """How some records spread, of those that reached the most nodes: first one of median speed, then from the slowest
    to the fastest.
    """
    widest = max(map(len, recorder.arrivals.values()), default=0)
    far = [record_id for record_id, it in recorder.arrivals.items() if len(it) == widest]
    ranked = sorted(far, key=lambda it: -_duration_s(recorder, it))
    middle, last = ranked[len(ranked) // 2 : len(ranked) // 2 + 1], len(ranked) - 1
    evenly = [ranked[round(place * last / (SPREADS_SHOWN - 1))] for place in range(SPREADS_SHOWN) if ranked]
    return [_spread(recorder, it) for it in dict.fromkeys([*middle, *evenly])]


def _duration_s(recorder: Recorder, record_id: str) -> float:
    times = [it.taken_s for it in recorder.arrivals[record_id].values()]
    return max(times) - min(times)


def _spread(recorder: Recorder, record_id: str) -> Spread:
    number = {name: place for place, name in enumerate(recorder.cluster.machines)}
    arrivals = sorted(recorder.arrivals[record_id].values(), key=lambda it: it.taken_s)
    begin_s = arrivals[0].taken_s
    steps = [SpreadStep(number[it.machine], round(it.taken_s - begin_s, 6), number.get(it.source)) for it in arrivals]
    label = recorder.records[record_id].label
    words = f"{label}, {record_id[:8]}: {count(len(steps), 'node')} in {seconds(steps[-1].after_s)}"
    return Spread(words, steps)
