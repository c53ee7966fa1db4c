"""The alerting rules: Prometheus loads them, and each fires for the fault that it names."""

import re
import subprocess
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from node.settings.description import describe
from tests.deploy.programs import DEPLOY, needs, path_of
from tests.deploy.queries import LABELS, OF_PROMETHEUS, Series, rules, series_of, unknown_in
from tests.paths import ROOT

RULES = rules()
UNIT_TESTS = ROOT / "tests" / "deploy" / "alerts_test.yml"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def promtool(*arguments: str) -> str:
    """What promtool says, which must end well."""
    done = subprocess.run(
        [path_of("promtool"), *arguments], capture_output=True, text=True, timeout=120, check=False, cwd=DEPLOY
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs("promtool")
def test_prometheus_loads_every_rule() -> None:
    assert f"{len(RULES)} rules found" in promtool("check", "rules", "alerts.yml")


@needs("promtool")
def test_a_rule_fires_for_its_fault_and_not_otherwise() -> None:
    promtool("test", "rules", str(UNIT_TESTS))


def test_every_rule_has_a_unit_test() -> None:
    tests = yaml.safe_load(UNIT_TESTS.read_text(encoding="utf-8"))["tests"]

    tested = {check["alertname"] for test in tests for check in test["alert_rule_test"] if check["exp_alerts"]}

    assert tested == {rule["alert"] for rule in RULES}


# The tests below do without promtool, so that a wrong rule is found on every machine.


def named(rule: Any) -> str:
    return str(rule["alert"])


@pytest.mark.parametrize("rule", RULES, ids=named)
def test_a_rule_asks_for_series_that_a_node_has(rule: Any) -> None:
    assert series_of(rule["expr"]) != []
    assert unknown_in(rule["expr"]) == []


@pytest.mark.parametrize("rule", RULES, ids=named)
def test_a_rule_has_the_form_that_prometheus_reads(rule: Any) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"[A-Z][A-Za-z]+", rule["alert"])
    assert re.fullmatch(r"[1-9][0-9]*[smhd]", rule.get("for", "1m"))
    assert rule["labels"] in ({"severity": "warning"}, {"severity": "critical"})
    assert set(rule["annotations"]) == {"summary"}


TEMPLATE = re.compile(r'\$labels\.(?P<label>\w+)|\$value( \| humanizeDuration)?|printf "%\.0f" \$value')


@pytest.mark.parametrize("rule", RULES, ids=named)
def test_the_summary_of_a_rule_is_a_sentence_with_valid_templates(rule: Any) -> None:
    summary = rule["annotations"]["summary"]
    known = OF_PROMETHEUS.union(*(LABELS[series.metric] for series in series_of(rule["expr"])))

    templates = [TEMPLATE.fullmatch(text.strip()) for text in re.findall(r"{{(.*?)}}", summary)]

    assert summary.endswith(".")
    assert "{" not in re.sub(r"{{.*?}}", "", summary)
    assert [template and (template["label"] or "instance") in known for template in templates] == [True] * len(
        templates
    )


@pytest.mark.parametrize("rule", RULES, ids=named)
def test_the_docs_say_what_to_do_about_an_alert(rule: Any) -> None:
    assert f"| `{rule['alert']}` |" in OPERATIONS


def test_every_setting_in_a_rule_exists() -> None:
    asked = {name for rule in RULES for name in re.findall(r'dnarc_setting\{[^}]*name="(\w+)"', rule["expr"])}

    assert asked
    assert asked <= {setting.name for setting in describe() if setting.unit}


UNPARSABLE = {
    "dnarc_in_flight_records > 0.9 * on (instance) dnarc_setting": "vector matching only allowed between vectors",
    "sum(rate(dnarc_streams[5m])": "unclosed left parenthesis",
    "rate(dnarc_streams) > 0": "expected type matrix",
}


@pytest.mark.parametrize(("query", "reason"), UNPARSABLE.items())
def test_a_query_that_prometheus_cannot_parse_is_found_without_promtool(query: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        series_of(query)


def test_a_series_that_no_node_has_is_found_without_promtool() -> None:
    query = 'rate(dnarc_stream[5m]) > 0 and sum by (le) (dnarc_commit_seconds_bucket{le="1"}) / dnarc_streams{peer="x"}'

    assert unknown_in(query) == [Series("dnarc_stream", frozenset()), Series("dnarc_streams", frozenset({"peer"}))]
