"""The fleet of `make fleet`, in a short form."""

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
    command = [sys.executable, "-m", "simulations.processes.fleet", "--claims", "120", "--kills", "1"]
    environment = {"TMPDIR": str(tmp_path), "PATH": os.environ["PATH"], VARIABLE: schema_url("one")}

    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "No acknowledged claim is lost, and the stream went on without a gap." in done.stdout
    assert list(tmp_path.iterdir()) == []
