"""A node with a timer in its event loop, which notes how long the loop stands.

`python -m tests.attack.timed_node FILE serve ...` does what `dnarc serve ...` does. A client cannot measure this from
outside, because its delays contain those of other programs, of the disk and of its own loop. While a callback runs, no
other one does, so the timer comes late by as long as the loop stood. `FILE` gets a line for each time that it came late
by `NOTED_S` or more. The timer takes 1 % of a core.
"""

import asyncio
import os
import sys
import time
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import msgspec

PERIOD_S: Final = 0.005

NOTED_S: Final = 0.01

_T = TypeVar("_T")


class Stand(msgspec.Struct, frozen=True):
    """A time for which the loop stood.

    `at_s`: when it ended, by the monotonic clock of the machine. `clock_s`: its length, without the time for which the
    thread of the loop could have run and had no core. Waits for the disk and for the interpreter's lock count.
    `work_s`: how much of it was processor time of this thread, which no other program makes longer. It may contain up
    to `PERIOD_S` of work before.
    """

    at_s: float
    clock_s: float
    work_s: float


class _Reading(msgspec.Struct, frozen=True):
    """What the clocks of the present thread say. `waited_s`: how long it has waited for a core so far."""

    clock_s: float
    work_s: float
    waited_s: float

    @classmethod
    def take(cls, schedstat: int | None) -> Self:
        waited_ns = 0 if schedstat is None else int(os.pread(schedstat, 100, 0).split()[1])
        return cls(time.monotonic(), time.thread_time(), waited_ns / 1e9)


@contextmanager
def noting(path: Path) -> Iterator[None]:
    """Note the stands of the running loop in this file until the block ends."""
    with ExitStack() as files:
        schedstat = None
        with suppress(OSError):  # only Linux has it
            schedstat = files.enter_context(open("/proc/thread-self/schedstat", "rb", buffering=0))
        timer = _Timer(files.enter_context(path.open("ab", buffering=0)), schedstat)
        yield
        timer.cancel()


class _Timer:
    def __init__(self, file: FileIO, schedstat: FileIO | None) -> None:
        self._file = file
        self._schedstat = None if schedstat is None else schedstat.fileno()
        self._loop = asyncio.get_running_loop()
        self._set()

    def cancel(self) -> None:
        self._handle.cancel()

    def _set(self) -> None:
        self._last = _Reading.take(self._schedstat)
        self._handle = self._loop.call_later(PERIOD_S, self._on_time)

    def _on_time(self) -> None:
        last, now = self._last, _Reading.take(self._schedstat)
        late_s = now.clock_s - last.clock_s - PERIOD_S
        if late_s >= NOTED_S:
            work_s = min(late_s, now.work_s - last.work_s)
            clock_s = max(work_s, late_s - (now.waited_s - last.waited_s))
            stand = Stand(now.clock_s, clock_s, work_s)
            self._file.write(msgspec.json.encode(stand) + b"\n")
        self._set()


def stands(path: Path, begin_s: float, end_s: float) -> list[Stand]:
    """The stands that ended between these times, by the monotonic clock."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    found = [msgspec.json.decode(line, type=Stand) for line in lines]
    return [stand for stand in found if begin_s <= stand.at_s <= end_s]


def watch_all_loops(path: Path) -> None:
    """Note the stands of each loop that `asyncio.run` or `uvloop.run` starts from now on."""
    run = asyncio.Runner.run

    def run_noting(runner: asyncio.Runner, coro: Coroutine[Any, Any, _T], **more: Any) -> _T:
        async def noted() -> _T:
            with noting(path):
                return await coro

        return run(runner, noted(), **more)

    asyncio.Runner.run = run_noting  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    watch_all_loops(Path(sys.argv.pop(1)))
    from node.cli import main

    main()
