"""The Dockerfile: it can be parsed, takes its packages from the lock, and runs a node without root."""

import json
import re
import shlex
import subprocess
import sys

import pytest

from node.settings.description import describe
from tests.deploy.programs import DEPLOY, needs, path_of
from tests.paths import ROOT

Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    """The Dockerfile's instructions with their arguments, comments left out and continued lines joined."""
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    found = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(name, " ".join(rest.split())) for name, rest in found]


def arguments(name: str) -> list[str]:
    return [rest for its_name, rest in instructions() if its_name == name]


@needs("hadolint")
def test_hadolint_finds_nothing_wrong_with_the_dockerfile() -> None:
    done = subprocess.run(
        [path_of("hadolint"), str(DEPLOY / "Dockerfile")], capture_output=True, text=True, timeout=120, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


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


@pytest.mark.parametrize("port", ["9", "tcp://10.0.0.1:8081"])
def test_the_image_asks_for_health_as_a_shell_would(port: str) -> None:
    """The check is a program of its own. It must be valid, and fail if nothing answers."""
    name, option, script = json.loads(arguments("HEALTHCHECK")[0].split("CMD ", 1)[1])
    elsewhere = script.replace("8080", "9")

    done = subprocess.run(
        [sys.executable, option, elsewhere], env={"DNARC_PORT": port}, capture_output=True, timeout=120, check=False
    )

    assert (name, script == elsewhere) == ("python", False)
    assert done.returncode != 0
    assert b"Connection refused" in done.stderr
