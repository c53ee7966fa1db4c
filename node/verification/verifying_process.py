"""A process that verifies signatures, with its own interpreter lock.

A verifying thread releases the lock for 60 us and then takes it back, for each record. While the event loop is busy, it
waits up to 5 ms for the lock (`sys.getswitchinterval`), and its core does nothing. A process has its own lock, so the
loop and libsodium run in parallel.

The event loop asks the process itself, through a socket. A thread between the two would need the lock for each question
and each answer, and the process would wait as long. Several questions are on their way at once, so that the process
finds the next question there when it has answered one, whatever the loop does meanwhile.
"""

import asyncio
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from typing import Final, Self, cast

import msgspec

from node.verification.answering import READY, pack
from protocol.records.record import SignedRecord

START_S_MAX: Final = 60.0
"""Seconds until a process must be ready. It starts when much has come to be verified, and the node goes before it
(`NICE`), so on a busy machine a start may take many times as long as an answer. Meanwhile threads verify.
"""

ANSWER_S_MAX: Final = 5.0
"""Seconds that a process may take for one answer, which costs some milliseconds. A process that takes longer was
stopped, or the machine has no memory for it; it is given up.
"""

_UNANSWERED_MAX: Final = 384
"""Records at which a process gets no further question: about 20 ms of work. The loop may be busy for 10 ms, with the
decisions on a large group, before it sees an answer. A single claim waits behind these records."""


class _Question(msgspec.Struct, frozen=True):
    """A question that is not answered: its number of records, and the loop's time at which it is too old."""

    records: int
    answer: asyncio.Future[list[bool]]
    end_s: float


class VerifyingProcess(asyncio.Protocol):
    """One process. It ends with `close`, or by itself when this process ends."""

    def __init__(self, process: subprocess.Popen[bytes], answer_s_max: float) -> None:
        """Use `start` instead."""
        self._process = process
        self._answer_s_max = answer_s_max
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._ready: asyncio.Future[list[bool]] = self._loop.create_future()
        self._questions = deque([_Question(len(READY), self._ready, self._loop.time() + START_S_MAX)])
        self._answers = bytearray()
        self._unanswered = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._watch()

    @classmethod
    async def start(cls, answer_s_max: float = ANSWER_S_MAX, python: str = sys.executable) -> Self:
        """Start a process; returns when it is ready. `answer_s_max`: seconds that one answer may take.

        Raises:
            OSError: the process cannot be started, ends at once, or is not ready after `START_S_MAX`.
        """
        process, connection = _spawn(python)
        it = cls(process, answer_s_max)
        try:
            await it._loop.create_unix_connection(lambda: it, sock=connection)
            await it._ready
        except BaseException:
            it.close()
            raise
        return it

    @property
    def is_full(self) -> bool:
        """Whether it has enough to do for now."""
        return self._unanswered >= _UNANSWERED_MAX

    @property
    def unanswered(self) -> int:
        """Records for which there is no answer yet."""
        return self._unanswered

    def verify(self, records: Sequence[SignedRecord]) -> asyncio.Future[list[bool]]:
        """Ask whether each of these records is genuine; there is at least one.

        The future ends with an OSError if the process has ended, or does not answer in time. Then nothing more may be
        asked.
        """
        assert records, "the answer to an empty question would have no bytes"
        answer: asyncio.Future[list[bool]] = self._loop.create_future()
        if self._transport is None:
            answer.set_exception(ConnectionError("the verifying process has ended"))
            return answer
        self._questions.append(_Question(len(records), answer, self._loop.time() + self._answer_s_max))
        self._unanswered += len(records)
        self._transport.write(pack([(it.record.signedby, it.record.canonical, it.signature) for it in records]))
        self._watch()
        return answer

    def close(self) -> None:
        """End the process at once. It holds nothing that could be lost. What is not answered ends with an OSError."""
        self._end(ConnectionError("the verifying process was ended"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._answers += data
        while self._questions and len(self._answers) >= self._questions[0].records:
            question = self._questions.popleft()
            genuine = list(map(bool, self._answers[: question.records]))
            del self._answers[: question.records]
            if question.answer is self._ready:
                self._unwatch()  # the time for a start is longer than that for an answer
            else:
                self._unanswered -= question.records
            if not question.answer.done():
                question.answer.set_result(genuine)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - whatever it is, the process has ended
        self._end(ConnectionError("the verifying process has ended"))

    def _watch(self) -> None:
        """See to it that somebody looks when the oldest question is too old."""
        if self._deadline is None:
            self._deadline = self._loop.call_at(self._questions[0].end_s, self._on_deadline)

    def _on_deadline(self) -> None:
        self._deadline = None
        if not self._questions:
            return
        if self._questions[0].end_s <= self._loop.time():
            self._end(TimeoutError("the verifying process does not answer"))
        else:
            self._watch()

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self, error: OSError) -> None:
        self._unwatch()
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        self._process.kill()
        self._process.wait()
        while self._questions:
            answer = self._questions.popleft().answer
            if not answer.done():
                answer.set_exception(error)
                answer.exception()  # whoever asked may have gone, and asyncio would log that nobody looked


def _spawn(python: str) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """A new process, and our end of the socket to it. This takes about 2 ms, in which the event loop stands."""
    ours, its = socket.socketpair()
    # -P: nothing is imported from the node's working directory. The process group is separate, because Ctrl-C is meant
    # for the node, which ends this process when it no longer needs it.
    command = [python, "-P", "-m", "node.verification.answering"]
    try:
        return subprocess.Popen(command, stdin=its.fileno(), stdout=its.fileno(), process_group=0), ours
    except BaseException:
        ours.close()
        raise
    finally:
        its.close()
