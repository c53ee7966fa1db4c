"""Metrics: what the parts of a node count while they work, as plain values that each part holds itself.

Work is frequent and scrapes are few. So to count is to add to a number, once for a group of records where that can be,
and nothing here knows who reads it: `node.monitoring.exposition` puts the figures into Prometheus' words when asked.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from node.intake.arrivals import Outcome, Status
from protocol.errors import Code
from protocol.records.admission import Trust
from protocol.records.change import EventType
from protocol.records.replay import Verdict

if TYPE_CHECKING:
    from node.http_sync.report import Report

SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From one signature (60 us) to what an operator has to know of: a disk that takes seconds for one commit."""

RECORDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096)
"""To twice what a transaction holds by default."""


class Histogram:
    """How many values were at most as large as each bound. `total` is their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` rise."""
        self.total = 0.0
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)  # the last one is for what is above all bounds

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def buckets(self) -> Iterator[tuple[float, int]]:
        """Each bound, infinity last, with the number of values up to it: the last one is the number of all."""
        return zip((*self._bounds, float("inf")), accumulate(self._counts), strict=True)


class Intake:
    """What became of the records that came in, from clients and from peers, and what a group waited for."""

    def __init__(self) -> None:
        self.accepted: Counter[tuple[Trust, Verdict]] = Counter()
        self.known: Counter[Trust] = Counter()
        self.refused: Counter[tuple[Trust, Code]] = Counter()
        self.verified = 0
        self.verification_s = Histogram(SECONDS)
        self.admission_s = Histogram(SECONDS)

    def count(self, trust: Trust, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.code is not None:
                self.refused[trust, outcome.code] += 1
            elif outcome.status is Status.ACCEPTED and outcome.verdict is not None:
                self.accepted[trust, outcome.verdict] += 1
            else:
                self.known[trust] += 1


class Writes:
    """What was committed: the time and the size of each transaction, and the events in them."""

    def __init__(self) -> None:
        self.commit_s = Histogram(SECONDS)
        self.commit_records = Histogram(RECORDS)
        self.events: Counter[EventType] = Counter()


class Exchange:
    """What the runs with one plain HTTP peer in one direction came to. `succeeded_s` is the wall clock's time of the
    last one without an error, None before there was one; `error` is why the last one ended early, if it did.
    """

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self.records: Counter[str] = Counter()
        self.repaired = 0
        self.seconds = 0.0
        self.succeeded_s: float | None = None
        self.error: str | None = None

    def count(self, report: "Report", now_s: float) -> None:
        self.runs["ok" if report.error is None else "failed"] += 1
        self.records.update(accepted=report.accepted, known=report.known, refused=report.refused)
        self.repaired += report.repaired
        self.seconds += report.seconds
        self.error = report.error
        if report.error is None:
            self.succeeded_s = now_s


class Traffic:
    """What goes on at the address that the node listens on: requests answered, by method, route and status;
    connections that are open, and those turned away.
    """

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.connections = 0
        self.connections_refused = 0
