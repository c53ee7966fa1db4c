"""A process that verifies signatures, with its own interpreter lock.

A verifying thread releases the lock for 60 us and then takes it back, for each record. While the event loop is busy, it
waits up to 5 ms for the lock (`sys.getswitchinterval`), and its core does nothing. A process has its own lock. The
thread that asks the process needs our lock once for a whole chunk, so the loop and libsodium run in parallel.

Imported, this module starts such a process and asks it. Run by `python -m node.verification.verifying_process`, it is
the process. It imports very little, because each process pays for its imports: 8 MB, and 0.1 s before it is ready.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO, Final, cast

import msgspec

from protocol.records.record import SignedRecord
from protocol.signing import verify

_LENGTH_BYTES: Final = 4
_READY: Final = b"!"

ANSWER_S_MAX: Final = 5.0
"""Seconds that a process may take for one question, which costs a few milliseconds. A process that takes longer was
stopped, or the machine has no memory for it; it is given up.
"""

_Question = list[tuple[str, bytes, str]]
"""Key, canonical bytes and signature of each record. The answer is one byte a record: 1 if it is genuine, else 0."""

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Question)


class VerifyingProcess:
    """One process, used by one thread at a time. It ends with `close`, or by itself when this process ends."""

    def __init__(self, answer_s_max: float = ANSWER_S_MAX) -> None:
        """`answer_s_max`: seconds that one question may take. Raises: OSError: the process cannot be started."""
        # -P: nothing is imported from the node's working directory. The process group is separate, because Ctrl-C is
        # meant for the node, which ends this process when it no longer needs it.
        command = [sys.executable, "-P", "-m", "node.verification.verifying_process"]
        self._process = subprocess.Popen(
            command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
        )
        self._questions = cast(IO[bytes], self._process.stdin)
        self._answers = cast(IO[bytes], self._process.stdout)
        for pipe in (self._questions, self._answers):
            os.set_blocking(pipe.fileno(), False)
        self._answer_s_max = answer_s_max
        self._is_ready = False

    @property
    def is_ready(self) -> bool:
        """Whether the process would start to work at once, or has ended."""
        if self._is_ready:
            return True
        return _is_open_for(self._answers, select.POLLIN, 0.0)

    def verify(self, records: Sequence[SignedRecord]) -> list[bool]:
        """Whether each record is genuine. Raises: OSError: the process has ended, or does not answer in time."""
        end_s = time.monotonic() + self._answer_s_max
        if not self._is_ready:
            self._read(len(_READY), end_s)
            self._is_ready = True
        question = _encoder.encode([(it.record.signedby, it.record.canonical, it.signature) for it in records])
        self._write(len(question).to_bytes(_LENGTH_BYTES, "big") + question, end_s)
        return list(map(bool, self._read(len(records), end_s)))

    def close(self) -> None:
        """End the process at once. It holds nothing that could be lost."""
        self._process.kill()
        self._process.wait()
        self._answers.close()
        self._questions.close()

    def _write(self, data: bytes, end_s: float) -> None:
        left = memoryview(data)
        while left:
            _wait_for(self._questions, select.POLLOUT, end_s)
            left = left[os.write(self._questions.fileno(), left) :]

    def _read(self, size: int, end_s: float) -> bytes:
        answer = b""
        while len(answer) < size:
            _wait_for(self._answers, select.POLLIN, end_s)
            part = os.read(self._answers.fileno(), size - len(answer))
            if not part:
                raise ConnectionError("the verifying process has ended")
            answer += part
        return answer


def _wait_for(pipe: IO[bytes], event: int, end_s: float) -> None:
    """Wait until the pipe is usable. Raises: TimeoutError: it is not usable by `end_s`."""
    if not _is_open_for(pipe, event, max(0.0, end_s - time.monotonic())):
        raise TimeoutError("the verifying process does not answer")


def _is_open_for(pipe: IO[bytes], event: int, within_s: float) -> bool:
    poll = select.poll()  # `select.select` is limited to 1,024 open files
    poll.register(pipe, event)
    return bool(poll.poll(within_s * 1_000))


def main() -> None:
    """Answer questions until the pipe is closed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a stop of the whole service is for the node, which may still ask
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    answers.write(_READY)
    answers.flush()
    while length := questions.read(_LENGTH_BYTES):
        question = _decoder.decode(questions.read(int.from_bytes(length, "big")))
        answers.write(bytes(verify(key, canonical, signature) for key, canonical, signature in question))
        answers.flush()


if __name__ == "__main__":
    main()
