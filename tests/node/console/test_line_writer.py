"""Lines for a stream: in order, never waited for, and counted where nobody takes them."""

import fcntl
import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from node.console.line_writer import LineWriter

TIMEOUT_S = 120.0
PIPE_BYTES = 4_096
LINE = "x" * 99
"""A hundred bytes with the line feed."""


@contextmanager
def pipe(*, blocks: bool = True) -> Iterator[tuple[int, TextIO]]:
    """The reading end of a small pipe, and the stream that writes into it."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    os.set_blocking(writing, blocks)
    with os.fdopen(writing, "w") as stream:
        yield reading, stream


def fill(stream: TextIO) -> None:
    os.write(stream.fileno(), b"y" * PIPE_BYTES)


def read(reading: int, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += os.read(reading, size - len(found))
    return found


def read_until(reading: int, end: bytes) -> bytes:
    """What comes before `end`, which comes last."""
    found = b""
    while not found.endswith(end):
        found += os.read(reading, 4_096)
    return found.removesuffix(end)


def dropping(writer: LineWriter) -> bool:
    """Whether the writer drops a line within the time of a test."""
    change = threading.Event()
    for _ in range(int(TIMEOUT_S * 100)):
        if writer.dropped:
            return True
        change.wait(0.01)
    return False


def test_lines_come_in_order(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        writer = LineWriter(stream)

        for number in range(1_000):
            writer.write(f"line {number}")
        writer.close(TIMEOUT_S)

    assert (tmp_path / "log").read_text() == "".join(f"line {number}\n" for number in range(1_000))
    assert writer.dropped == 0


@pytest.mark.parametrize("blocks", [True, False])
def test_a_reader_that_takes_nothing_makes_nobody_wait(blocks: bool) -> None:
    with pipe(blocks=blocks) as (reading, stream):
        fill(stream)
        writer = LineWriter(stream, lambda lines: f"{lines} dropped", bytes_max=1_000)
        for _ in range(25):
            writer.write(LINE)
        dropped = writer.dropped
        read(reading, PIPE_BYTES)
        said = read(reading, 1_000)
        writer.close(TIMEOUT_S)
        writer.write("later")
        notes = read_until(reading, b"later\n")
        os.close(reading)

    # The writer's thread may wake while lines are still being dropped: then two notes tell of them.
    told = [int(note.removesuffix(" dropped")) for note in notes.decode().splitlines()]
    assert (dropped, said, sum(told)) == (15, f"{LINE}\n".encode() * 10, 15)


@pytest.mark.parametrize(("size", "dropped"), [(100, 0), (101, 1)])
def test_a_line_is_dropped_only_past_the_limit(size: int, dropped: int) -> None:
    with pipe() as (reading, stream):
        fill(stream)
        writer = LineWriter(stream, bytes_max=100)

        writer.write("x" * (size - 1))

        assert writer.dropped == dropped
        read(reading, PIPE_BYTES)
        writer.close(TIMEOUT_S)
        os.close(reading)


def test_a_reader_that_has_gone_is_no_error() -> None:
    with pipe() as (reading, stream):
        os.close(reading)
        writer = LineWriter(stream)

        writer.write("unread")

        assert dropping(writer)


def test_a_stuck_reader_is_left_to_the_null_device() -> None:
    with pipe() as (reading, stream):
        fill(stream)
        writer = LineWriter(stream)
        writer.write("unread")

        writer.close(0.05)
        os.write(stream.fileno(), b"z" * PIPE_BYTES)  # would block for ever

        os.close(reading)


def test_a_character_that_the_stream_lacks_is_escaped(tmp_path: Path) -> None:
    with io.TextIOWrapper((tmp_path / "log").open("wb"), "ascii") as stream:
        writer = LineWriter(stream)

        writer.write("caf\u00e9")
        writer.close(TIMEOUT_S)

    assert (tmp_path / "log").read_bytes() == b"caf\\xe9\n"
