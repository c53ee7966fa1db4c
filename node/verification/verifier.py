"""Verification in threads, the largest part of this node's work.

libsodium releases the interpreter lock, so threads verify in parallel. But to hand work to a thread costs as much as a
verification. So a thread takes up to 64 records at a time, from one caller or several. On two cores, tasks of one
record were no faster than one thread, and tasks of 64 records nearly twice as fast.

While the event loop is always busy, the threads lose time because they wait for the loop's lock. So once records come
faster than the threads verify them, each thread uses its own process (`node.verification.verifying_process`). If a
process does not start, ends, or does not answer, its thread verifies by itself.
"""

import asyncio
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import Final, Protocol

import structlog

from node.verification.verifying_process import ANSWER_S_MAX, VerifyingProcess
from protocol.records.record import SignedRecord

_CHUNK_RECORDS: Final = 64

_THREADS_MAX: Final = 4
"""The default limit: one event loop decides on as many records as about two cores verify."""

_DELAYS_MAX: Final = 32
"""Chunks that find all threads busy before the processes start: 2,048 records, which is a catch-up or two batches."""

log = structlog.get_logger()


class Verifier(Protocol):
    """Tells genuine signatures from forged ones."""

    async def verify(self, records: Sequence[SignedRecord], *, is_alone: bool = False) -> list[bool]:
        """Whether each record is genuine, in their order.

        `is_alone`: nothing else is in the pipeline, so a quick answer matters more than throughput.
        """

    def close(self) -> None:
        """Stop. Nothing may be verified afterwards."""


class _Piece:
    """Records of one caller, at most a chunk, and the answer that the caller waits for."""

    def __init__(self, records: Sequence[SignedRecord], loop: asyncio.AbstractEventLoop) -> None:
        self.records = records
        self.answer: asyncio.Future[list[bool]] = loop.create_future()


class Processes:
    """The verifying processes. Each is used by one thread at a time. Threads call every method except `close`."""

    def __init__(self) -> None:
        self._idle: deque[VerifyingProcess] = deque()

    def start(self, answer_s_max: float = ANSWER_S_MAX) -> None:
        """Start one more process. `answer_s_max`: seconds that an answer may take."""
        try:
            self._idle.append(VerifyingProcess(answer_s_max))
        except OSError as error:
            log.warning("a verifying process did not start: a thread verifies by itself", reason=str(error))

    def verify(self, records: Sequence[SignedRecord]) -> list[bool] | None:
        """Whether each record is genuine; None if no process is idle and ready."""
        try:
            process = self._idle.popleft()
        except IndexError:
            return None
        try:
            genuine = process.verify(records) if process.is_ready else None
        except OSError as error:
            log.warning("a verifying process is given up: a thread verifies by itself", reason=str(error))
            process.close()
            return None
        self._idle.append(process)
        return genuine

    def close(self) -> None:
        """End the processes. No thread may use one any more."""
        while self._idle:
            self._idle.pop().close()


class ThreadedVerifier:
    """Verifies signatures in threads. The callers bound its queue."""

    def __init__(self, threads: int | None = None, delays_max: int = _DELAYS_MAX) -> None:
        """`threads`: None means one for each core, at most 4. `delays_max`: chunks that find all threads busy before
        the processes start.
        """
        self._threads = threads or min(os.cpu_count() or 1, _THREADS_MAX)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="verify")
        self._queue: deque[_Piece] = deque()
        self._busy = 0
        self._delays = 0
        self._delays_max = delays_max
        self._processes = Processes()

    async def verify(self, records: Sequence[SignedRecord], *, is_alone: bool = False) -> list[bool]:
        if is_alone and len(records) == 1:  # verified before a thread would start
            return [records[0].is_genuine()]
        loop = asyncio.get_running_loop()
        starts = range(0, len(records), _CHUNK_RECORDS)
        pieces = [_Piece(records[start : start + _CHUNK_RECORDS], loop) for start in starts]
        self._queue.extend(pieces)
        self._dispatch(loop)
        answers = [await piece.answer for piece in pieces]
        return [genuine for answer in answers for genuine in answer]

    def close(self) -> None:
        """End the threads and their processes. Callers that still wait are cancelled."""
        for piece in self._queue:
            piece.answer.cancel()
        self._queue.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._processes.close()

    def _dispatch(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._queue and self._busy < self._threads:
            pieces = self._next_chunk()
            self._busy += 1
            work = loop.run_in_executor(self._pool, self._verify, [piece.records for piece in pieces])
            work.add_done_callback(lambda done, pieces=pieces: self._on_done(done, pieces, loop))  # type: ignore[misc]
        if self._queue:
            self._on_delay()

    def _on_delay(self) -> None:
        self._delays += 1
        if self._delays == self._delays_max:
            for _ in range(self._threads):
                self._pool.submit(self._processes.start)

    def _next_chunk(self) -> list[_Piece]:
        pieces = [self._queue.popleft()]
        size = len(pieces[0].records)
        while self._queue and size + len(self._queue[0].records) <= _CHUNK_RECORDS:
            pieces.append(self._queue.popleft())
            size += len(pieces[-1].records)
        return pieces

    def _on_done(self, done: asyncio.Future[list[bool]], pieces: list[_Piece], loop: asyncio.AbstractEventLoop) -> None:
        self._busy -= 1
        self._dispatch(loop)
        if done.cancelled():
            for piece in pieces:
                piece.answer.cancel()
            return
        genuine = iter(done.result())
        for piece in pieces:
            answer = list(islice(genuine, len(piece.records)))
            if not piece.answer.done():
                piece.answer.set_result(answer)

    def _verify(self, chunk: list[Sequence[SignedRecord]]) -> list[bool]:
        """Runs in a thread."""
        records = list(chain.from_iterable(chunk))
        genuine = self._processes.verify(records)
        return [record.is_genuine() for record in records] if genuine is None else genuine
