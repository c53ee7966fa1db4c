"""`dnarc serve` as a process: one line, a clean end, and one line more where it cannot run."""

import contextlib
import functools
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from node.client.http import NodeClient
from node.settings.description import describe
from node.settings.settings import FILES_BESIDES, KINDS, Settings
from tests.forked import ForkedProcess
from tests.history import claim, signed
from tests.node.cli.conftest import TIMEOUT_S, Result, Served, run, run_apart
from tests.waiting import waited_s


def test_sighup_leaves_the_node_alive_and_a_line_in_its_log(tmp_path: Path) -> None:
    node = Served(tmp_path)

    node.process.send_signal(signal.SIGHUP)
    answers = node.run("domains", "--json").json
    _, log = node.stop()

    assert (answers, node.process.returncode) == ({}, 0)
    assert [json.loads(line)["event"] for line in log.splitlines()] == ["started", "reloading", "stopped"]


SILENT_READERS = 5

STOP_PROMISED_S = 5.0

LOOK_EVERY_S = 0.05


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_prints_its_url_and_ends_with_0_at_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    node = Served(tmp_path)

    answers = node.run("domains", "--json").json
    node.process.send_signal(number)
    rest, log = node.process.communicate(timeout=TIMEOUT_S)

    assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+", node.url)
    assert (answers, rest, node.process.returncode) == ({}, "", 0)
    assert [json.loads(line)["event"] for line in log.splitlines()] == ["started", "stopped"]
    assert {path.name for path in node.data.iterdir()} >= {"dnarc.db", "node.key", "admin-token"}


def test_a_node_stops_in_time_though_clients_do_not_read_long_answers(tmp_path: Path) -> None:
    """Every claim that was answered with 201 is on disk, so the node need not wait for idle clients."""
    node = Served(tmp_path)
    with NodeClient(node.url) as client:
        claims = [signed(claim(f"plot-{number}", at=int(time.time()), text="x" * 60_000)) for number in range(200)]
        for part in (claims[:100], claims[100:]):
            body = ",".join(f'"{each.signature}":{each.record.canonical.decode()}' for each in part)
            client.ask("PUT", "/claims", body=f"{{{body}}}".encode()).check()
    address = urlsplit(node.url)
    with contextlib.ExitStack() as stack:
        for _ in range(SILENT_READERS):
            reader = stack.enter_context(socket.create_connection((address.hostname, address.port)))
            reader.sendall(b"GET /claims HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert reader.recv(15) == b"HTTP/1.1 200 OK"

        node.process.send_signal(signal.SIGTERM)
        took_s = seconds_to_end(node.process)
        node.process.communicate(timeout=TIMEOUT_S)

        assert (node.process.returncode, took_s < STOP_PROMISED_S) == (0, True)


def seconds_to_end(process: "subprocess.Popen[str]") -> float:
    """How long a process takes to end. A stall of the machine counts as one look. The time for which the process is
    ready to run and has no core does not count.
    """
    watched = psutil.Process(process.pid)
    waited_before_s = waited_after_s = waited_s(watched)
    looks = 0
    while looks * LOOK_EVERY_S < TIMEOUT_S:
        looks += 1
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_EVERY_S)
            break
        waited_after_s = waited_s(watched)
    return looks * LOOK_EVERY_S - (waited_after_s - waited_before_s)


def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        refused = run_apart("serve", "--port", str(port), "--data", str(tmp_path / "data"))

    assert (refused.code, refused.out) == (4, "")
    assert refused.err.splitlines()[-1] == (
        f"dnarc: machine: cannot listen on 127.0.0.1:{port}: another program listens there "
        f"(`ss -ltnp 'sport = :{port}'` names the program: end it, or choose another port)"
    )


def test_a_port_in_use_by_another_node_is_reported_with_its_key(common: Served, tmp_path: Path) -> None:
    port = common.url.rpartition(":")[2]

    refused = run_apart("serve", "--port", port, "--data", str(tmp_path / "data"))

    with NodeClient(common.url) as client:
        key = client.get_node().node
    assert refused.code == 4
    assert f"another program listens there: a dnarc node with the key {key} (" in refused.err


def test_a_folder_in_use_is_reported(common: Served) -> None:
    refused = run_apart("serve", "--port", "0", "--data", str(common.data))

    assert (refused.code, refused.out) == (4, "")
    assert refused.err == (
        f"dnarc: cannot_start: another node runs on {common.data} (stop that node "
        f"(`fuser {common.data / 'lock'}` names its process), or name another folder by --data)\n"
    )


def test_a_file_that_is_no_store_is_reported(tmp_path: Path) -> None:
    (tmp_path / "dnarc.db").write_bytes(b"notes" * 4_000)

    refused = run_apart("serve", "--port", "0", "--data", str(tmp_path))

    assert (refused.code, refused.out) == (4, "")
    assert refused.err.splitlines()[-1].startswith("dnarc: storage: ")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--port", "x"), "port is 'x' (--port): it should be a whole number of at least 0 and at most 65535"),
        (("--config", "absent.toml"), "the settings file absent.toml cannot be read"),
    ],
)
def test_a_bad_setting_is_reported(flags: tuple[str, ...], words: str) -> None:
    refused = run("serve", *flags)

    assert (refused.code, refused.err.startswith(f"dnarc: settings: {words}")) == (2, True)


def test_every_setting_but_a_table_has_a_flag() -> None:
    shown = run("serve", "--help", COLUMNS="200").out

    assert [it.name for it in describe() if (f"{it.flag} " in shown) is it.is_table] == []


def test_help_shows_the_settings_by_kind_with_their_units_and_defaults() -> None:
    lines = run("serve", "--help", COLUMNS="200").out.splitlines()

    panels = [line.strip("╭╮─ ") for line in lines if line.startswith("╭")]
    max_age = next(line for line in lines if line.startswith("│ --max-age"))

    assert panels == ["Options", *KINDS.values()]
    [setting] = [each for each in describe() if each.name == "max_age"]
    assert max_age.strip("│ ").split() == f"--max-age SECONDS {setting.description} Default: 300.".split()


def test_an_unknown_variable_prevents_the_start(tmp_path: Path) -> None:
    refused = run("serve", "--port", "0", "--data", str(tmp_path), DNARC_MAXAGE="1")

    assert (refused.code, list(tmp_path.iterdir())) == (2, [])
    assert "did you mean DNARC_MAX_AGE?" in refused.err


def test_the_service_variables_of_a_container_platform_leave_a_line_in_the_log(tmp_path: Path) -> None:
    node = Served(tmp_path, DNARC_PORT="tcp://10.0.0.1:8080", DNARC_SERVICE_HOST="10.0.0.1")

    answers = node.run("domains", "--json").json
    _, log = node.stop()

    lines = [json.loads(line) for line in log.splitlines()]
    assert (answers, node.process.returncode) == ({}, 0)
    assert [line["event"] for line in lines] == ["service variables skipped", "started", "stopped"]
    assert lines[0]["variables"] == "DNARC_PORT,DNARC_SERVICE_HOST"


def test_a_store_that_fails_ends_the_node_with_one_line(tmp_path: Path, keys: tuple[str, str]) -> None:
    """A limit on the size of files, which the kernel keeps, is a disk that stops taking anything."""
    command = [sys.executable, "-c", "from node.cli import main; main()", "serve", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--data", str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),  # noqa: PLW1509
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    watchdog = threading.Timer(TIMEOUT_S, process.kill)
    watchdog.start()

    answers: list[Result] = []
    while process.poll() is None and len(answers) < 50:
        content = json.dumps("x" * 60_000)
        answers.append(run("claim", "example.org", f"l{len(answers)}", f"n={content}", "--key", keys[0], "--node", url))
    _, log = process.communicate(timeout=TIMEOUT_S)
    watchdog.cancel()

    assert answers[0].code == 0
    assert answers[-1].code != 0
    assert process.returncode == 4
    assert log.splitlines()[-1].startswith("dnarc: storage: the store failed: ")


def test_a_node_may_open_as_many_files_as_its_limits_need(tmp_path: Path) -> None:
    """Many systems start programs with 1,024, and let them have more."""
    command = [sys.executable, "-c", "from node.cli import main; main()", "serve", "--port", "0"]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    process = subprocess.Popen(
        [*command, "--data", str(tmp_path / "data"), "--connections-max", "100", "--links-max", "10"],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)),  # noqa: PLW1509
    )
    assert process.stdout is not None
    process.stdout.readline()

    allowed, _ = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    process.terminate()
    process.communicate(timeout=TIMEOUT_S)

    assert allowed == min(FILES_BESIDES + 110, hard if hard != resource.RLIM_INFINITY else 10**9)


def test_a_hard_limit_on_open_files_that_is_too_low_is_warned_of(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "from node.cli import main; main()", "serve", "--port", "0", "--data", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 256)),  # noqa: PLW1509
    )
    assert process.stdout is not None
    process.stdout.readline()

    process.terminate()
    _, log = process.communicate(timeout=TIMEOUT_S)

    first = json.loads(log.splitlines()[0])
    assert (first["event"], first["allowed"]) == ("too few open files are allowed for all connections", 256)
    assert first["needed"] == Settings().files_needed


def listening_url(process: "subprocess.Popen[bytes]") -> str:
    """Where a process listens, once it does."""
    watched = psutil.Process(process.pid)
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        for connection in watched.net_connections("tcp4"):
            if connection.status == psutil.CONN_LISTEN:
                return f"http://127.0.0.1:{connection.laddr.port}"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_EVERY_S)
            break
    raise AssertionError(f"it should listen by now; its exit code is {process.poll()}")


def full_pipe() -> tuple[int, int]:
    """A pipe that holds nothing more: its reading and its writing end."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writing, b"x" * 4_096):
            pass
    os.set_blocking(writing, True)
    return reading, writing


OUTPUTS = [
    ("full pipe", (1, 2)), ("no reader", (1, 2)), ("full disk", (1, 2)),
    ("closed", (1,)), ("closed", (2,)), ("closed", (1, 2)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "numbers"), OUTPUTS)
def test_a_node_lives_whatever_reads_its_output(tmp_path: Path, kind: str, numbers: tuple[int, ...]) -> None:
    reading, writing = full_pipe()
    if kind == "no reader":
        os.close(reading)
    device = os.open("/dev/full" if kind == "full disk" else os.devnull, os.O_WRONLY)
    given = writing if "pipe" in kind or "reader" in kind else device
    close = functools.partial(os.closerange, numbers[0], numbers[-1] + 1)
    process = ForkedProcess(
        [sys.executable, "-c", "from node.cli import main; main()", "serve", "--port", "0", "--data", str(tmp_path)],
        stdout=given if 1 in numbers else subprocess.DEVNULL,
        stderr=given if 2 in numbers else subprocess.DEVNULL,
        preexec_fn=close if kind == "closed" else None,
    )

    answer = run("domains", "--json", "--node", listening_url(process))
    process.terminate()
    code = process.wait(TIMEOUT_S)

    assert (answer.json, code) == ({}, 0)
    for number in {reading, writing, device} - ({reading} if kind == "no reader" else set()):
        os.close(number)


def test_a_node_that_cannot_start_ends_though_nobody_reads_why(common: Served) -> None:
    reading, writing = full_pipe()

    process = ForkedProcess(
        [sys.executable, "-c", "from node.cli import main; main()", "serve", "--data", str(common.data)], stderr=writing
    )

    assert process.wait(TIMEOUT_S) == 4
    os.close(reading)
    os.close(writing)
