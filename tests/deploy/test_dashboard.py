"""The dashboard: its queries are valid and ask for what a node shows, and every metric has a place."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from node.monitoring.exposition import FAMILIES
from node.settings.description import describe
from tests.deploy.programs import needs, path_of
from tests.deploy.queries import LABELS, OF_PROMETHEUS, dashboard, filled, panels, series_of, targets, unknown_in

TARGETS = targets()


@needs("promtool")
def test_prometheus_can_parse_every_query(tmp_path: Path) -> None:
    """Rules are what promtool reads, so each query becomes the query of a rule."""
    file = tmp_path / "queries.yml"
    queries = [{"record": f"query:{number}", "expr": filled(each["expr"])} for number, each in enumerate(TARGETS)]
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": queries}]}), encoding="utf-8")

    done = subprocess.run(
        [path_of("promtool"), "check", "rules", "--lint=none", str(file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert f"{len(TARGETS)} rules found" in done.stdout


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target["expr"][:60])
def test_a_query_and_its_legend_name_what_a_node_has(target: Any) -> None:
    query = filled(target["expr"])
    known = OF_PROMETHEUS.union(*(LABELS[series.metric] for series in series_of(query)))

    assert unknown_in(query) == []
    assert set(re.findall(r"{{(.*?)}}", target["legendFormat"])) <= known


def test_every_family_of_a_node_has_its_place_on_the_dashboard() -> None:
    shown = json.dumps(dashboard())

    missing = [family.name for family in FAMILIES if family.name not in shown]

    assert set(missing) <= {
        "dnarc_listens_publicly",
        "dnarc_sync_seconds_total",
        "dnarc_sync_success_timestamp_seconds",
    }


def test_every_setting_in_a_query_exists() -> None:
    asked = {name for each in TARGETS for name in re.findall(r'dnarc_setting\{[^}]*name="(\w+)"', each["expr"])}

    assert asked
    assert asked <= {setting.name for setting in describe() if setting.unit}


def test_panels_have_names_of_their_own_and_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    titles = [panel["title"] for panel in panels()]
    ids = [panel["id"] for panel in dashboard()["panels"]]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23
    assert len(titles) == len(set(titles))
    assert len(ids) == len(set(ids))


def test_every_query_uses_the_data_source_that_the_viewer_chooses() -> None:
    sources = [part["datasource"]["uid"] for panel in panels() for part in (panel, *panel["targets"])]

    assert set(sources) == {"${datasource}"}
    assert [variable["name"] for variable in dashboard()["templating"]["list"]] == ["datasource", "instance"]


def test_every_panel_is_of_a_kind_that_grafana_has_and_its_queries_have_letters_of_their_own() -> None:
    for panel in panels():
        letters = [target["refId"] for target in panel["targets"]]
        assert panel["type"] in ("stat", "timeseries", "gauge", "bargauge", "table"), panel["title"]
        assert letters == sorted(set(letters)), panel["title"]
