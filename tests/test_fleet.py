"""The fleet of `make fleet`, in a short form."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from simulations.processes.fleet import VARIABLE
from tests.paths import ROOT


def test_a_fleet_whose_writer_is_killed_loses_no_claim_and_no_event_and_leaves_nothing_behind(
    tmp_path: Path, schema_url: Callable[[str], str]
) -> None:
    command = [sys.executable, "-m", "simulations.processes.fleet", "--claims", "120", "--kills", "1", "--json"]
    environment = {"TMPDIR": str(tmp_path), "PATH": os.environ["PATH"], VARIABLE: schema_url("one")}

    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=480, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Kills: 1, pauses: 0. No acknowledged claim is lost, no event is skipped or doubled," in done.stderr
    seen = json.loads(done.stdout)
    assert seen["acknowledged"] >= 120
    assert [(each["blow"], each["victim"], each["term"]) for each in seen["takeovers"]] == [("killed", "one", 2)]
    assert {name: seen[name] for name in ("lost", "skipped", "doubled", "terms", "interleaved", "broken")} == {
        "lost": 0,
        "skipped": 0,
        "doubled": 0,
        "terms": [1, 2],
        "interleaved": 0,
        "broken": [],
    }
    assert list(tmp_path.iterdir()) == []
