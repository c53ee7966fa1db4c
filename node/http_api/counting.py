"""Counting: what the node did since it started, in the words of Prometheus.

Requests are counted in a plain dict, as they are many and scrapes are few; the families are made when somebody asks.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from node.arrivals import Outcome

if TYPE_CHECKING:
    from node.node import Node


class Counts:
    """Requests by method, path of the route and status; records by what became of them (`accepted`, `known`, or a
    code).
    """

    def __init__(self, node: "Node") -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.records: Counter[str] = Counter()
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._node = node

    def count_records(self, outcomes: Sequence[Outcome]) -> None:
        self.records.update(str(outcome.code or outcome.status) for outcome in outcomes)

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "dnarc_http_requests", "Requests answered.", labels=("method", "route", "status")
        )
        for (method, route, status), number in self.requests.items():
            requests.add_metric((method, route, str(status)), number)
        records = CounterMetricFamily("dnarc_http_records", "Records that came by HTTP.", labels=("outcome",))
        for outcome, records_number in self.records.items():
            records.add_metric((outcome,), records_number)
        return [requests, records, *self._gauges()]

    def _gauges(self) -> list[Metric]:
        indexes = self._node.indexes
        sizes = [len(index) for name in indexes.domains() if (index := indexes.get(name)) is not None]
        return [
            GaugeMetricFamily("dnarc_domains", "Domains that hold records.", value=len(sizes)),
            GaugeMetricFamily("dnarc_records", "Records held, accepted or not.", value=sum(sizes)),
            GaugeMetricFamily("dnarc_healthy", "1 where nothing is wrong, else 0.", value=not self._node.health()),
        ]


COUNTS: Final = web.AppKey("counts", Counts)


async def get_metrics(_node: "Node", request: web.Request) -> web.StreamResponse:
    body = generate_latest(request.app[COUNTS].registry)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
