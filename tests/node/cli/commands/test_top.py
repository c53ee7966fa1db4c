"""`dnarc top`: one look for programs, and a live picture in a pseudo-terminal, which is restored at the end."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from rich.console import Console

from node.cli.output.top_screen import GAUGE_COLUMNS, NEWEST_SHOWN_MAX, PEERS_SHOWN_MAX, curve_of, draw, span_of
from node.client.watching import Newest, PeerSeen, Snapshot, WitnessedSeen
from tests.forked import ForkedProcess
from tests.node.cli.conftest import TIMEOUT_S, Served, run

ENTER_SCREEN, LEAVE_SCREEN, SHOW_CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"

SNAPSHOT = Snapshot(
    url="http://node.example", node="ab" * 32, version="1.2.3", uptime_s=93_784, span_s=1.0, problems=["too full"],
    warnings=["nearly \x1b[31mred"], domains=2, records=1_234_567, rates={"accepted": 12_345.6, "commits": 7.0},
    times_ms={"commit": 1.25}, queues={"connections": 9.0, "uncommitted_records": 3.0}, limits={"connections": 12.0},
    peers=[PeerSeen("ws://peer.example", True, False, "catching_up", {"differs": 1, "identical": 2}, 65.0, None)],
    witnessed=[WitnessedSeen("example.w2a", 3, 65.0, 420.4, ["this node is silent: not_begun"])],
)  # fmt: skip
RECORD = Newest("reverted", "example.org", "gar\x1b[2Jden", "00" * 32, 1_000_000, "cd" * 32)


def text_of(snapshot: Snapshot, newest: list[Newest], moments: list[float]) -> str:
    console = Console(width=120, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(draw(snapshot, newest, moments))
    return capture.get()


def test_the_picture_shows_rates_queues_peers_and_records() -> None:
    text = text_of(SNAPSHOT, [RECORD], [0.0, 5.0, 10.0])

    for words in (
        "node abababababab", "1,234,567 records in 2 domains", "up 1 d 2 h", "not well", "! too full", "12,345.6",
        "1.25", "75%", "ws://peer.example", "catching_up", "1 differs, 2 identical", "1 min 5 s", "reverted",
        "example.w2a", "420", "this node is silent: not_begun", "example.org", "1970-01-12 13:46:40Z",
    ):  # fmt: skip
        assert words in text, words


def test_a_span_of_a_few_milliseconds_shows_no_rates() -> None:
    """The first screen comes at once. Its span holds only the questions of this command, hundreds a second."""
    snapshot = msgspec.structs.replace(SNAPSHOT, span_s=0.004, rates={"requests": 808.4}, domains=1)

    text = text_of(snapshot, [], [])

    assert ("requests" in text, "808.4" in text, "records in 1 domain " in text) == (True, False, True)


def test_nothing_from_the_network_steers_the_terminal() -> None:
    text = text_of(SNAPSHOT, [RECORD], [])

    assert "\x1b" not in text
    assert "gar\\x1b[2Jden" in text


def test_lists_that_are_too_long_are_cut() -> None:
    peers = [PeerSeen(f"http://p{n}", True, True, None, {}, None, None) for n in range(PEERS_SHOWN_MAX + 1)]
    snapshot = Snapshot(**{name: getattr(SNAPSHOT, name) for name in Snapshot.__struct_fields__} | {"peers": peers})

    text = text_of(snapshot, [RECORD] * (NEWEST_SHOWN_MAX + 1), [])

    assert text.count("reverted") == NEWEST_SHOWN_MAX
    assert f"http://p{PEERS_SHOWN_MAX}" not in text
    assert "and 1 more" in text


@pytest.mark.parametrize(
    ("values", "curve"),
    [([], ""), ([0, 0], "▁▁"), ([0, 4, 8], "▁▄█"), ([1, 2, 3, 4], "▄▆█"), ([5, 0.01], "█▁")],
)
def test_the_curve_has_the_last_values_by_the_highest(values: list[float], curve: str) -> None:
    assert curve_of(values, 3) == curve


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (60, "1 min"), (3_661, "1 h 1 min"), (90_000, "1 d 1 h")]
)
def test_a_span_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert span_of(seconds) == text


@pytest.mark.parametrize(("now", "full"), [(0, 0), (12, GAUGE_COLUMNS), (24, GAUGE_COLUMNS)])
def test_a_queue_is_drawn_up_to_its_limit(now: float, full: int) -> None:
    snapshot = Snapshot(
        **{name: getattr(SNAPSHOT, name) for name in Snapshot.__struct_fields__} | {"queues": {"connections": now}}
    )

    assert text_of(snapshot, [], []).count("█") == full


def test_one_look_is_plain_json(common: Served) -> None:
    done = common.run("top", "--interval", "0.1", "--json")

    answer = json.loads(done.out)
    assert done.code == 0
    assert {"rates", "queues", "peers", "newest", "problems", "times_ms"} <= set(answer)
    assert answer["url"] == common.url


def test_without_a_terminal_one_picture_is_printed(common: Served) -> None:
    done = common.run("top", "--interval", "0.1")

    assert (done.code, "\x1b" in done.out) == (0, False)
    assert "of its limit" in done.out


def test_a_node_that_does_not_answer_ends_it_with_3() -> None:
    assert run("top", "--node", "http://127.0.0.1:9").code == 3


IN_CONTROL = """
import fcntl, termios
from node.cli import main
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
main()
"""
"""A command that makes the terminal its own, so that Ctrl-C there interrupts it."""


@contextmanager
def in_a_terminal(*arguments: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """The command with a controlling terminal of its own. Yields the process and the other end of the terminal."""
    ours, theirs = pty.openpty()

    process = ForkedProcess(
        [sys.executable, "-c", IN_CONTROL, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(terminal: int, words: bytes | None) -> bytes:
    """What the terminal shows until these words come; None: until no process holds the terminal."""
    shown = b""
    while words is None or words not in shown:
        ready, _, _ = select.select([terminal], [], [], TIMEOUT_S)
        assert ready, shown
        try:
            piece = os.read(terminal, 65_536)
        except OSError:  # how Linux says that the last one has gone
            piece = b""
        if not piece:
            assert words is None, shown
            return shown
        shown += piece
    return shown


@pytest.mark.parametrize("ending", ["Ctrl-C", "SIGTERM"])
def test_the_live_picture_ends_cleanly(common: Served, ending: str) -> None:
    with in_a_terminal("top", "--node", common.url, "--interval", "0.1") as (process, terminal):
        first = read_until(terminal, b"of its limit")
        read_until(terminal, b"of its limit")  # it is drawn again and again
        if ending == "Ctrl-C":
            os.write(terminal, b"\x03")
        else:
            process.send_signal(signal.SIGTERM)
        rest = read_until(terminal, None)
        process.wait(TIMEOUT_S)

    assert process.returncode == 0
    assert ENTER_SCREEN in first
    assert LEAVE_SCREEN in rest
    assert SHOW_CURSOR in rest
    assert b"Traceback" not in rest


def test_the_live_picture_waits_for_a_node_that_was_stopped(tmp_path_factory: pytest.TempPathFactory) -> None:
    node = Served(tmp_path_factory.mktemp("going"))
    with in_a_terminal("top", "--node", node.url, "--interval", "0.1") as (process, terminal):
        read_until(terminal, b"of its limit")
        node.stop()
        read_until(terminal, b"no answer")
        os.write(terminal, b"\x03")
        read_until(terminal, None)
        process.wait(TIMEOUT_S)

    assert process.returncode == 0
