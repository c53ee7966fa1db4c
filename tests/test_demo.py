"""The demo, run as `make demo` runs it."""

import subprocess
import sys
from pathlib import Path

from tests.paths import ROOT


def test_the_demo_ends_with_one_answer_and_a_final_claim_and_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simulations.processes.demo"]

    done = subprocess.run(
        command, cwd=ROOT, env={"TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=480, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "The three nodes give the same answer" in done.stdout
    assert "3 of 4 witnesses decided 2 claims" in " ".join(done.stdout.split())
    assert "rival" in done.stdout
    assert list(tmp_path.iterdir()) == []
