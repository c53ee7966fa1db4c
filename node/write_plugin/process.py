"""The operator's program as a child process: lines go to its stdin, answers come from its stdout, its stderr is logged.

The process has a session of its own, so that Ctrl-C reaches the node alone, and so that an end reaches everything that
the program started. What the program writes is bounded: its answers by the length of a line, because anything that is
no answer ends it; its stderr by lines and bytes a second.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from typing import Final, cast

import structlog

from node.write_plugin.conversation import ANSWER_BYTES_MAX
from node.write_plugin.lines import Lines, LineTooLongError

STDERR_LINE_BYTES_MAX: Final = 1_000
"""Bytes of a line of stderr that the log gets."""

STDERR_LINES_MAX: Final = 20
"""Lines of stderr that the log gets in one second. The others are counted."""

STDERR_BYTES_MAX: Final = 1_048_576
"""Bytes of stderr that are read in one second. A program that writes more waits, as it would for a slow terminal."""

CLOSING_S_MAX: Final = 1.0
"""Seconds that the program gets to end by itself when its stdin is closed."""

LAST_WORDS_S_MAX: Final = 0.5
"""Seconds for what a program wrote before it ended. Its pipes may be read after the system tells of its end."""

_STDIN, _STDOUT, _STDERR = 0, 1, 2

log = structlog.get_logger()


class PluginProcess(asyncio.SubprocessProtocol):
    """One process of the program. `on_line` gets each line of its stdout.

    `on_end` is called once, with the reason in words, when the process has ended or has written too long a line. After
    that, nothing is called. `end` is that reason, None while the process is of use.
    """

    def __init__(self, on_line: Callable[[bytes], None], on_end: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._on_end = on_end
        self._answers = Lines(ANSWER_BYTES_MAX)
        self._stderr = _StderrLog()
        self.end: str | None = None
        self._is_over = False
        self._is_killed = False
        self._exited = asyncio.Event()
        self._last_words: asyncio.TimerHandle | None = None
        self._transport: asyncio.SubprocessTransport

    @classmethod
    async def start(
        cls, command: Sequence[str], on_line: Callable[[bytes], None], on_end: Callable[[str], None]
    ) -> "PluginProcess":
        """Raises: OSError: the program cannot be started."""
        loop = asyncio.get_running_loop()
        _, protocol = await loop.subprocess_exec(lambda: cls(on_line, on_end), *command, start_new_session=True)
        return protocol

    def write(self, data: bytes) -> None:
        """The caller bounds what the program has not answered yet."""
        pipe = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(_STDIN))
        if not pipe.is_closing():
            pipe.write(data)

    def kill(self) -> None:
        """End the process, and what it started, at once. Nothing is called any more."""
        self._is_over = True
        self._stderr.close()
        self._kill_session()
        if self._last_words is not None:
            self._last_words.cancel()

    async def close(self) -> None:
        """Tell the program to end by closing its stdin, and kill it if it does not."""
        self._is_over = True
        stdin = self._transport.get_pipe_transport(_STDIN)
        if stdin is not None:
            stdin.close()
        await self._wait()
        self.kill()
        await self._wait()

    def _kill_session(self) -> None:
        """Kill the process and what it started, once: later, another process may have its number."""
        if not self._is_killed:
            self._is_killed = True
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._transport.get_pid(), signal.SIGKILL)

    async def _wait(self) -> None:
        """Wait until the process has ended, but not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_S_MAX):
                await self._exited.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self._stderr.pipe = cast(asyncio.ReadTransport, self._transport.get_pipe_transport(_STDERR))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == _STDERR and not self._is_over:
            self._stderr.put(data)
        if fd != _STDOUT:
            return
        try:
            for line in self._answers.put(data):
                if not self._is_over:  # a line that is a fault is the last one
                    self._on_line(line)
        except LineTooLongError:
            self._end(f"it wrote a line of more than {ANSWER_BYTES_MAX} bytes")

    def pipe_connection_lost(self, fd: int, _error: Exception | None) -> None:
        """A program that closes its stdout or its stdin, and goes on, can answer nothing more."""
        if fd in (_STDIN, _STDOUT) and not self._is_over and not self._exited.is_set():
            asyncio.get_running_loop().call_later(CLOSING_S_MAX, self._end, "it closed its stdin or stdout")

    def process_exited(self) -> None:
        self._exited.set()
        self._kill_session()
        self._last_words = asyncio.get_running_loop().call_later(LAST_WORDS_S_MAX, self._on_all_read)

    def connection_lost(self, _error: Exception | None) -> None:
        """The process has ended, and all that it wrote is read."""
        self._on_all_read()

    def _on_all_read(self) -> None:
        if self._last_words is not None:
            self._last_words.cancel()
        code = self._transport.get_returncode() or 0
        words = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._end(f"it ended by itself ({words})")
        self._transport.close()

    def _end(self, reason: str) -> None:
        if not self._is_over:
            self._is_over, self.end = True, reason
            self._on_end(reason)


class _StderrLog:
    """Lines of stderr on their way to the log: few a second, and each of limited length."""

    def __init__(self) -> None:
        self.pipe: asyncio.ReadTransport | None = None
        self._loop = asyncio.get_running_loop()
        self._line = b""
        self._lines = 0
        self._bytes = 0
        self._next_second: asyncio.TimerHandle | None = None

    def put(self, data: bytes) -> None:
        if self._next_second is None:
            self._next_second = self._loop.call_later(1.0, self._begin_second)
        *whole, rest = (self._line + data).split(b"\n")
        self._line = rest[:STDERR_LINE_BYTES_MAX]
        for line in whole:
            self._lines += 1
            if self._lines <= STDERR_LINES_MAX:
                log.info("write plugin", line=line[:STDERR_LINE_BYTES_MAX].decode(errors="replace"))
        self._bytes += len(data)
        if self._bytes > STDERR_BYTES_MAX and self.pipe is not None:
            self.pipe.pause_reading()

    def close(self) -> None:
        if self._next_second is not None:
            self._next_second.cancel()

    def _begin_second(self) -> None:
        if self._lines > STDERR_LINES_MAX:
            log.warning("write plugin: further lines were left out", lines=self._lines - STDERR_LINES_MAX)
        if self._bytes > STDERR_BYTES_MAX and self.pipe is not None:
            self.pipe.resume_reading()
        self._lines = self._bytes = 0
        self._next_second = None
