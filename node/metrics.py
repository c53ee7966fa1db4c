"""Plain counters that the parts of a node keep while they work.

A node counts often and is scraped rarely. So counting only adds to a number, once for a group of records where
possible. Nothing here knows who reads the numbers: `node.monitoring.exposition` writes them in the format of Prometheus
when a scraper asks. This module imports nothing of the node, so that every part can import it. What a part counts in
words of its own stands beside that part: `node.intake.counts`, `node.http_sync.report`, `node.links.running_link`.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of durations: from the check of one signature (60 us) to a disk that needs seconds for one commit."""

RECORDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096)
"""Bounds of counts of records: up to twice what one transaction holds by default."""


class Histogram:
    """Counts values by size. `total` is the sum of all values."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` are the upper bounds of the buckets, in rising order. Infinity is added as the last one."""
        self.total = 0.0
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)  # the last entry counts values above all bounds

    def observe(self, value: float, times: int = 1) -> None:
        self._counts[bisect_left(self._bounds, value)] += times
        self.total += value * times

    def buckets(self) -> Iterator[tuple[float, int]]:
        """Each bound in rising order, with the number of values up to it. The last pair counts all values."""
        return zip((*self._bounds, float("inf")), accumulate(self._counts), strict=True)


class Traffic:
    """Requests and connections at the address that the node listens on.

    `requests` counts answers by method, route and status. `connections` are open now; `connections_refused` were turned
    away because too many were open. `turned_away_s` is when that last happened. `proxied_s` is when the last
    request came that seems to have passed an untrusted proxy. Both are in seconds since the Unix epoch, None: never.
    """

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.connections = 0
        self.connections_refused = 0
        self.turned_away_s: float | None = None
        self.proxied_s: float | None = None
