"""The page about fleets: its commands are carried out as they stand, on a server of one's own."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.monitoring.exposition import FAMILIES
from node.settings.description import describe
from simulations.processes.postgres import USER, PostgresServer, programs
from simulations.processes.process import LocalNode
from tests.history import ALICE, claim
from tests.node.cli.conftest import run
from tests.node.intake.pipeline import PEER, pipeline
from tests.paths import ROOT

PAGE = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")
FOLDER = "/var/lib/dnarc"
URL = "postgresql:///dnarc"


def commands(heading: str) -> list[str]:
    """The commands of a section, in order."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return [line for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) for line in block.splitlines()]


class Operator:
    """Somebody with a folder, who types what the page says. The server is that of the variables of libpq."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.nodes: list[LocalNode] = []
        self._monkeypatch = monkeypatch

    def type(self, line: str) -> str:
        """Carry out one line; returns what it writes. `dnarc serve` starts a process beside the test."""
        words = shlex.split(line.replace(FOLDER, f"{self.folder}/data").replace("URL", URL))
        for number, node in enumerate(self.nodes):
            words = [word.replace(f"http://127.0.0.1:808{number}", node.url) for word in words]
        if "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            self._monkeypatch.setenv(name, value)
        if words[:2] == ["dnarc", "serve"]:
            self._serve(words[2:])
            return ""
        if words[0] == "dnarc":
            done = run(*words[1:])
            assert done.code == 0, done.err + done.out
            return done.out
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    def _serve(self, flags: list[str]) -> None:
        given = dict(zip(flags[::2], flags[1::2], strict=True))
        port = int(given.pop("--port", "8080"))
        assert port == 8080 + len(self.nodes)
        node = LocalNode(f"process-{port}", Path(given.pop("--data")), tuple(w for pair in given.items() for w in pair))
        node.start()
        self.nodes.append(node)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()
        self._monkeypatch.delenv("DNARC_STORE", raising=False)


@pytest.fixture
def operator(tmp_path: Path, server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    monkeypatch.setenv("PGHOST", str(server.folder))
    monkeypatch.setenv("PGUSER", USER)
    monkeypatch.setenv("PATH", f"{programs()}{os.pathsep}{os.environ['PATH']}")
    operator = Operator(tmp_path, monkeypatch)
    yield operator
    operator.stop()
    subprocess.run(["dropdb", "--force", "dnarc"], check=False, capture_output=True)


@pytest.fixture
async def records(tmp_path: Path) -> list[str]:
    """The ids of the records in the folder of the page."""
    (tmp_path / "data").mkdir()
    async with pipeline(tmp_path / "data") as pipe:
        entries = [claim(f"plot-{number}", ALICE, number + 1) for number in range(3)]
        await pipe.take(*entries, origin=PEER)
    return [entry.id for entry in entries]


def test_a_node_becomes_a_fleet_and_a_node_again_by_the_commands_of_the_page(
    operator: Operator, records: list[str]
) -> None:
    for line in commands("Begin"):
        operator.type(line)
    seen = [read(node, records) for node in operator.nodes]
    operator.stop()
    said = {line.split()[0]: operator.type(line) for line in commands("Back up and move back")}

    assert [roles for roles, _ in seen] == ["writer", "follower", "follower"]
    assert [found for _, found in seen] == [set(records)] * 3
    assert len({node.data.joinpath("node.key").read_text() for node in operator.nodes}) == 1
    assert said["DNARC_STORE=URL"].startswith(f"equal: {len(records)} records")
    assert (operator.folder / "data-back" / "dnarc.db").exists()


def read(node: LocalNode, ids: list[str]) -> tuple[str, set[str]]:
    """The role of a process, and the records among these that it shows."""
    with node.client() as client:
        role = client.get("/health")["fleet"]["role"]
        found = {each for each in ids if client.ask("GET", f"/records/{each}").status == 200}
    return str(role), found


def test_every_setting_metric_and_file_that_the_page_names_exists() -> None:
    words = set(re.findall(r"`([a-z_./A-Z]+)`", PAGE))

    settings = {word for word in words if word in {setting.name for setting in describe()}}
    metrics = {word for word in words if word.startswith("dnarc_")}
    files = {word for word in words if word.startswith(("deploy/", "docs/"))}

    assert {"advertise", "repair_interval", "store", "trusted_proxies"} <= settings
    assert metrics
    assert metrics <= {family.name for family in FAMILIES}
    assert [file for file in files if not (ROOT / file).exists()] == []
