"""What a query for Prometheus asks for, and the queries in the files of deploy/."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
import yaml  # type: ignore[import-untyped]

from node.monitoring.exposition import FAMILIES, Kind
from tests.deploy.programs import DEPLOY

promql: Final = pytest.importorskip("promql_parser")

OF_PROMETHEUS: Final = {"instance", "job"}
"""Labels that Prometheus adds to each series of a target."""

_OF_THE_LIBRARY: Final = (
    "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "process_max_fds", "up",
)  # fmt: skip

LABELS: Final[dict[str, set[str]]] = {
    **{name: set() for name in _OF_THE_LIBRARY},
    **{family.name: set(family.labels) for family in FAMILIES},
    **{
        f"{family.name}_{part}": {*family.labels, *({"le"} if part == "bucket" else ())}
        for family in FAMILIES
        if family.kind is Kind.HISTOGRAM
        for part in ("bucket", "sum", "count")
    },
}
"""The labels of each metric that a node has, without those that Prometheus adds."""

_VARIABLES: Final = {"$__rate_interval": "5m", "$instance": ".*", "$__range": "1h"}


class Series(NamedTuple):
    """A part of a query that selects series: a metric, and the labels that it compares."""

    metric: str
    labels: frozenset[str]


def series_of(query: str) -> list[Series]:
    """The series that a query selects.

    Raises:
        ValueError: Prometheus cannot parse the query.
    """
    return [
        Series(part.name, frozenset(matcher.name for matcher in part.matchers.matchers))
        for part in _selectors(promql.parse(query))
    ]


def unknown_in(query: str) -> list[Series]:
    """The series in a query that no node has, because of their metric or their labels."""
    return [
        series
        for series in series_of(query)
        if series.metric not in LABELS or not series.labels <= LABELS[series.metric] | OF_PROMETHEUS
    ]


def _selectors(expression: Any) -> Iterator[Any]:
    if isinstance(expression, promql.VectorSelector):
        yield expression
    for name in ("lhs", "rhs", "expr", "args", "vector_selector", "param"):
        part = getattr(expression, name, None)
        for each in part if isinstance(part, list) else () if part is None else (part,):
            yield from _selectors(each)


def rules() -> list[Any]:
    """The alerting rules, in order."""
    groups = yaml.safe_load((DEPLOY / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> Any:
    return json.loads((DEPLOY / "grafana.json").read_text(encoding="utf-8"))


def panels() -> list[Any]:
    """The panels of the dashboard that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def targets() -> list[Any]:
    """The queries of all panels, each with its legend."""
    return [target for panel in panels() for target in panel["targets"]]


def filled(query: str) -> str:
    """A query of the dashboard, with values in the place of Grafana's variables."""
    for variable, value in _VARIABLES.items():
        query = query.replace(variable, value)
    assert not re.search(r"\$\w", query), f"{query} has an unknown variable"
    return query
