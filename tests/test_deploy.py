"""What is deployed beside the code: a unit, an image, rules and a dashboard that fit the node as it is."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from node.monitoring.exposition import FAMILIES
from node.settings import describe
from tests.paths import ROOT

DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "dnarc.service"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

OF_THE_LIBRARY = {
    "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "process_max_fds",
}  # fmt: skip
SHOWN = {family.name for family in FAMILIES} | OF_THE_LIBRARY


def unknown_metrics(expression: str) -> list[str]:
    """Names in a query of Prometheus that no node shows, the parts of histograms being known by the whole."""
    names = re.findall(r"\b(?:dnarc|process)_[a-z_]+", re.sub(r'"[^"]*"', "", expression))
    return [name for name in names if name not in SHOWN and re.sub(r"_(bucket|sum|count)$", "", name) not in SHOWN]


def dashboard() -> Any:
    return json.loads((DEPLOY / "grafana.json").read_text(encoding="utf-8"))


def panels() -> Iterator[Any]:
    return (panel for panel in dashboard()["panels"] if panel["type"] != "row")


def rules() -> list[Any]:
    groups = yaml.safe_load((DEPLOY / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_metric_that_the_dashboard_queries_exists() -> None:
    expressions = [target["expr"] for panel in panels() for target in panel["targets"]]

    assert len(expressions) > 30
    assert [name for expression in expressions for name in unknown_metrics(expression)] == []


def test_every_family_of_a_node_has_its_place_on_the_dashboard() -> None:
    shown = json.dumps(dashboard())

    missing = [family.name for family in FAMILIES if family.name not in shown]

    assert set(missing) <= {
        "dnarc_listens_publicly",
        "dnarc_sync_seconds_total",
        "dnarc_sync_success_timestamp_seconds",
    }


def test_panels_have_names_of_their_own_and_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    titles = [panel["title"] for panel in panels()]
    ids = [panel["id"] for panel in dashboard()["panels"]]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23
    assert len(titles) == len(set(titles))
    assert len(ids) == len(set(ids))


def test_every_metric_that_a_rule_asks_for_exists() -> None:
    assert [name for rule in rules() for name in unknown_metrics(rule["expr"])] == []


def test_every_rule_says_what_is_wrong_and_the_docs_what_to_do() -> None:
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"].endswith(".")
        assert f"| `{rule['alert']}` |" in OPERATIONS, rule["alert"]


def test_every_code_in_a_rule_and_on_the_dashboard_is_a_setting_that_exists() -> None:
    text = "".join(rule["expr"] for rule in rules()) + "".join(t["expr"] for p in panels() for t in p["targets"])

    asked = set(re.findall(r'dnarc_setting\{[^}]*name="(\w+)"', text))

    assert asked
    assert asked <= {setting.name for setting in describe() if setting.unit}


def unit() -> RawConfigParser:
    parser = RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT, encoding="utf-8")
    return parser


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    installed = Path(sys.executable).with_name("dnarc")
    copy = tmp_path / "dnarc.service"
    copy.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/dnarc/bin/dnarc", str(installed)), encoding="utf-8")

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=60, check=False
    )

    # Whatever else it says is about the units of this machine.
    assert [line for line in done.stderr.splitlines() if "dnarc.service" in line] == []


def test_the_unit_gives_the_node_no_more_than_it_needs() -> None:
    service = unit()["Service"]

    for name in (
        "NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "ProtectKernelTunables", "RestrictNamespaces",
        "ProtectKernelModules", "ProtectControlGroups", "LockPersonality", "MemoryDenyWriteExecute", "DynamicUser",
        "ProtectClock", "RestrictSUIDSGID",
    ):  # fmt: skip
        assert service[name] == "yes", name
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert service["StateDirectoryMode"] == "0700"


def test_the_unit_starts_the_node_and_starts_no_wrong_setting_again() -> None:
    service = unit()["Service"]

    assert shlex.split(service["ExecStart"])[1:] == ["serve", "--data", "${STATE_DIRECTORY}"]
    assert service["KillSignal"] == "SIGTERM"
    assert service["RestartPreventExitStatus"] == "2"
    assert int(service["LimitNOFILE"]) > 2_000


Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    """The Dockerfile's instructions with their arguments, comments left out and continued lines joined."""
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    found = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(name, " ".join(rest.split())) for name, rest in found]


def arguments(name: str) -> list[str]:
    return [rest for its_name, rest in instructions() if its_name == name]


def test_the_image_has_two_stages_and_names_no_registry() -> None:
    stages = arguments("FROM")

    assert stages == ["python:${PYTHON_VERSION}-slim AS build", "python:${PYTHON_VERSION}-slim"]
    assert re.fullmatch(r"PYTHON_VERSION=3\.\d+", arguments("ARG")[0])
    assert not re.search(r"https?://(?!127\.0\.0\.1)", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))


def test_the_image_takes_its_packages_from_the_lock_by_their_hashes() -> None:
    pips = [step for run in arguments("RUN") for step in run.split("&&") if "pip" in step]

    downloads = [step for step in pips if "--no-index" not in step and "uninstall" not in step]

    assert len(downloads) == 1
    assert "--require-hashes" in downloads[0]
    assert "--requirement requirements.lock" in downloads[0]


def test_the_image_runs_as_nobody_in_particular_and_tells_whether_it_is_well() -> None:
    last_stage = instructions()[[name for name, _ in instructions()].index("FROM", 3) :]
    names = [name for name, _ in last_stage]

    assert arguments("USER") == ["10001:10001"]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert "/health" in arguments("HEALTHCHECK")[0]
    assert arguments("STOPSIGNAL") == ["SIGTERM"]
    assert json.loads(arguments("ENTRYPOINT")[0]) + json.loads(arguments("CMD")[0]) == ["dnarc", "serve"]


def test_the_image_copies_what_is_there_and_nothing_else() -> None:
    for copied in arguments("COPY"):
        *sources, _ = [part for part in copied.split() if not part.startswith("--")]
        if "--from" not in copied:
            assert [source for source in sources if not (ROOT / source).exists()] == [], copied
            assert "." not in sources


def test_the_settings_in_the_image_are_settings() -> None:
    variables = {part.partition("=")[0] for part in shlex.split(" ".join(arguments("ENV")))}

    ours = {name for name in variables if name.startswith("DNARC_")}

    assert ours == {"DNARC_DATA", "DNARC_HOST", "DNARC_PORT", "DNARC_LOG_FORMAT"}
    assert ours <= {setting.variable for setting in describe()}


def test_the_image_asks_for_health_as_a_shell_would(tmp_path: Path) -> None:
    """The check is a program of its own: it has to be one, and to fail where nothing answers."""
    command = json.loads(arguments("HEALTHCHECK")[0].split("CMD ", 1)[1])
    assert command[0] == "python"

    done = subprocess.run(
        [sys.executable, *command[1:]], env={"DNARC_PORT": "9"}, capture_output=True, timeout=60, check=False
    )

    assert done.returncode != 0
    assert b"SyntaxError" not in done.stderr
    assert b"refused" in done.stderr
