"""What a forked program has in common with any other process, so that a test may start either."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.forked import ForkedProcess
from tests.waiting import TIMEOUT_S

ANSWER = """
import json, os, sys, threading
said = sys.stdin.read()
print(json.dumps([
    sys.argv, said, os.getcwd(), os.environ.get("TOLD"), os.getppid(), os.getsid(0) == os.getpid(),
    sorted(map(int, os.listdir("/proc/self/fd")))[:-1], threading.active_count(), sys.stdin.encoding,
]))
print("complaint", file=sys.stderr)
sys.exit(7)
"""

STARTS = {"forked": ForkedProcess, "executed": subprocess.Popen}


@pytest.mark.parametrize("is_session", [False, True])
def test_a_forked_program_is_what_an_executed_one_is(tmp_path: Path, is_session: bool) -> None:
    ends = []
    for start in STARTS.values():
        process = start(
            [sys.executable, "-c", ANSWER, "one", "two"],
            cwd=tmp_path,
            env=os.environ | {"TOLD": "a word"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=is_session,
            text=True,
        )
        out, err = process.communicate("given", TIMEOUT_S)
        ends.append((json.loads(out), err, process.returncode))

    expected = [["-c", "one", "two"], "given", str(tmp_path), "a word", os.getpid(), is_session, [0, 1, 2], 1, "utf-8"]
    assert ends == [(expected, "complaint\n", 7)] * 2


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, -15), (signal.SIGKILL, -9)]
)
def test_a_signal_ends_a_program(start: Any, number: signal.Signals, code: int) -> None:
    text = "import time; print(flush=True); time.sleep(60)"
    process = start([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.readline()

    process.send_signal(number)

    assert process.wait(TIMEOUT_S) == code
    process.stdout.close()


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_a_program_writes_all_that_it_said_before_it_ends(start: Any) -> None:
    text = "import atexit; atexit.register(print, 'last'); print('first'); raise SystemExit('why')"
    process = start([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    assert process.communicate(timeout=TIMEOUT_S) == ("first\nlast\n", "why\n")
    assert process.returncode == 1


HAS_IMPORTED = "import sys; print('node.node' in sys.modules)"


@pytest.mark.parametrize(
    ("more", "is_forked"),
    [
        ({}, True),
        ({"preexec_fn": os.getpid}, False),
        ({"env": os.environ | {"PYTHONHASHSEED": "1"}}, False),
        ({"umask": 0o77}, False),
    ],
    ids=["plain", "preexec_fn", "a variable of Python", "umask"],
)
def test_a_program_that_a_fork_would_change_is_executed(more: dict[str, Any], is_forked: bool) -> None:
    process = ForkedProcess([sys.executable, "-c", HAS_IMPORTED], stdout=subprocess.PIPE, text=True, **more)

    assert process.communicate(timeout=TIMEOUT_S)[0] == f"{is_forked}\n"


def test_the_command_is_the_one_that_is_installed() -> None:
    dnarc = str(Path(sys.executable).with_name("dnarc"))
    ends = []
    for start in STARTS.values():
        process = start([dnarc, "version"], stdout=subprocess.PIPE, text=True)
        ends.append((process.communicate(timeout=TIMEOUT_S)[0], process.returncode))

    assert ends[0] == ends[1]
    assert ends[0][1] == 0
