"""Line writer: lines for a stream whose reader may be slow, stuck or gone, written without ever waiting for it.

A pipe that nobody reads blocks whoever writes into it. So a thread of its own writes the lines, and what it has not
written yet is bounded: beyond that lines are dropped and counted. The thread writes to the descriptor and not to the
stream, because Python aborts a process that ends while a thread holds the lock of a buffered stream.
"""

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TextIO

UNWRITTEN_BYTES_MAX: Final = 4 * 2**20
"""Some 10,000 lines: what a reader may be behind before lines are dropped. A guess."""

_AT_ONCE_BYTES: Final = 65_536
"""Bytes in one write: what a pipe of Linux holds."""

_WAIT_S: Final = 1.0
"""Between two looks at a descriptor that does not block and takes nothing."""


class LineWriter:
    """The lines of one stream. `dropped` counts the lines that were never written."""

    def __init__(
        self, stream: TextIO, note: Callable[[int], str] | None = None, bytes_max: int = UNWRITTEN_BYTES_MAX
    ) -> None:
        """`note` gives the line that tells a reader of this many dropped lines. The stream has a descriptor."""
        self.dropped = 0
        self._descriptor = stream.fileno()
        self._encoding = stream.encoding
        self._note = note
        self._bytes_max = bytes_max
        self._lines: deque[bytes | int] = deque()  # a number stands for as many dropped lines
        self._unwritten_bytes = 0
        self._change = threading.Condition()
        threading.Thread(target=self._run, name="line writer", daemon=True).start()

    def write(self, line: str) -> None:
        """Have the line written soon, or drop it if too much is unwritten. Never waits for the reader."""
        data = self._encode(line)
        with self._change:
            if self._unwritten_bytes + len(data) > self._bytes_max:
                self._drop(1)
            else:
                self._append(data)

    def close(self, timeout_s: float) -> None:
        """Wait until all is written, `timeout_s` at most. If the reader is stuck, leave the descriptor to the null
        device, so that nothing else of the process waits for that reader either.
        """
        with self._change:
            is_written = self._change.wait_for(lambda: not self._unwritten_bytes, timeout_s)
        if not is_written:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._descriptor)
            os.close(null)

    def _append(self, data: bytes) -> None:
        self._lines.append(data)
        self._unwritten_bytes += len(data)
        self._change.notify_all()

    def _drop(self, lines: int) -> None:
        """Count dropped lines, in the place where they would be: a number that stands last there already grows."""
        self.dropped += lines
        if self._lines and isinstance(last := self._lines[-1], int):
            self._lines[-1] = last + lines
        else:
            self._lines.append(lines)

    def _run(self) -> None:
        while True:
            data, lines = self._next()
            is_written = self._write(data)
            with self._change:
                if not is_written:
                    self._drop(lines)
                self._unwritten_bytes -= len(data)
                self._change.notify_all()

    def _next(self) -> tuple[bytes, int]:
        """The next lines as bytes, once there are any, and how many they are without notes of dropped lines."""
        with self._change:
            self._change.wait_for(lambda: any(isinstance(line, bytes) for line in self._lines))
            pieces: list[bytes] = []
            lines, size = 0, 0
            while self._lines and size < _AT_ONCE_BYTES:
                line = self._lines.popleft()
                if isinstance(line, int):
                    note = self._encode(self._note(line)) if self._note is not None else b""
                    self._unwritten_bytes += len(note)
                    pieces.append(note)
                else:
                    pieces.append(line)
                    lines += 1
                size += len(pieces[-1])
            return b"".join(pieces), lines

    def _encode(self, line: str) -> bytes:
        return line.encode(self._encoding, errors="backslashreplace") + b"\n"

    def _write(self, data: bytes) -> bool:
        """Write all of it. Returns whether the descriptor took it."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                with suppress(OSError):
                    select.select([], [self._descriptor], [], _WAIT_S)
            except OSError:  # the reader is gone, or the disk is full
                return False
        return True
