"""A process that verifies: libsodium beside an interpreter lock of its own.

A thread that verifies gives the lock up for 60 us and then wants it back, for each record; while the event loop works,
that takes up to 5 ms (`sys.getswitchinterval`), and the core waits. Another process has another lock: the thread that
asks it needs ours once for a whole chunk, and loop and libsodium really run beside each other.

Imported, this module starts such a process and asks it; run (`python -m node.verifying_process`), it is the process. It
imports next to nothing, as each process pays for it: about 8 MB, and 0.1 s before it is ready.
"""

import contextlib
import selectors
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import IO, Final, cast

import msgspec

from protocol.records.record import SignedRecord
from protocol.signing import verify

_LENGTH_BYTES: Final = 4
_READY: Final = b"!"

_Question = list[tuple[str, bytes, str]]
"""Key, canonical bytes and signature of each record. The answer is one byte for each: 1 where it is genuine."""

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Question)


class VerifyingProcess:
    """One process, for one thread at a time. It ends with `close`, or by itself when this process has ended."""

    def __init__(self) -> None:
        """Raises: OSError: the system starts none."""
        # -P: nothing is imported from the folder that the node happens to stand in. A group of its own: Ctrl-C is for
        # the node, which ends this one when it needs it no more.
        command = [sys.executable, "-P", "-m", "node.intake.verifying_process"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0)
        self._questions = cast(IO[bytes], self._process.stdin)
        self._answers = cast(IO[bytes], self._process.stdout)
        self._is_ready = False

    @property
    def is_ready(self) -> bool:
        """Whether it would begin at once, or has ended."""
        if self._is_ready:
            return True
        with selectors.DefaultSelector() as selector:  # not `select.select`, which knows 1,024 files: more may be open
            selector.register(self._answers, selectors.EVENT_READ)
            return bool(selector.select(0))

    def verify(self, records: Sequence[SignedRecord]) -> list[bool]:
        """Which of these are genuine. Raises: OSError: it has ended."""
        if not self._is_ready:
            self._read(len(_READY))
            self._is_ready = True
        question = _encoder.encode([(it.record.signedby, it.record.canonical, it.signature) for it in records])
        self._questions.write(len(question).to_bytes(_LENGTH_BYTES, "big") + question)
        self._questions.flush()
        return list(map(bool, self._read(len(records))))

    def close(self) -> None:
        """End it at once: it holds nothing that anybody would miss."""
        self._process.kill()
        self._process.wait()
        self._answers.close()
        with contextlib.suppress(OSError):  # what it was not sent any more is no loss
            self._questions.close()

    def _read(self, size: int) -> bytes:
        answer = self._answers.read(size)
        if len(answer) < size:
            raise ConnectionError("the verifying process has ended")
        return answer


def main() -> None:
    """Answer until nobody asks any more."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # who stops a whole service means the node, which may still ask
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    answers.write(_READY)
    answers.flush()
    while length := questions.read(_LENGTH_BYTES):
        question = _decoder.decode(questions.read(int.from_bytes(length, "big")))
        answers.write(bytes(verify(key, canonical, signature) for key, canonical, signature in question))
        answers.flush()


if __name__ == "__main__":
    main()
