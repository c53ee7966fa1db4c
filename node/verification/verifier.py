"""Verification in threads and in processes, the largest part of this node's work.

libsodium releases the interpreter lock, so threads verify in parallel. But to hand work to a thread costs as much as a
verification. So a thread takes up to 64 records at a time, from one caller or several. On two cores, tasks of one
record were no faster than one thread, and tasks of 64 records nearly twice as fast.

While the event loop is busy, the threads lose time because they wait for the loop's lock. So once many records come
within a second, processes verify (`node.verification.processes`). Without a process that is ready, the threads do.
"""

import asyncio
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from math import ceil
from typing import Final, Protocol

from node.verification.processes import BUSY_RECORDS, Processes
from node.verification.verifying_process import ANSWER_S_MAX, VerifyingProcess
from protocol.records.record import SignedRecord

_CHUNK_RECORDS: Final = 64

_SHORT_RECORDS_MAX: Final = 2 * _CHUNK_RECORDS
"""Records of a short question: those of a group of single claims. Longer questions are asked in chunks of this size,
because each chunk costs the event loop some 50 us, and they have enough of them for all workers."""

_SHARE_RECORDS_MIN: Final = 8
"""The smallest share of a short question. Two processes answered 16 records in 0.5 ms and one in 0.7 ms, 64 in 1.6 and
2.9 ms; for 8 records one process was quicker."""

_THREADS_MAX: Final = 4
"""The default limit: one event loop decides on as many records as about two cores verify."""


class Verifier(Protocol):
    """Tells genuine signatures from forged ones."""

    async def verify(self, records: Sequence[SignedRecord], *, is_alone: bool = False) -> list[bool]:
        """Whether each record is genuine, in their order.

        `is_alone`: no other record came with it, or is in the pipeline, so a quick answer matters more than throughput.
        """

    def close(self) -> None:
        """Stop. Nothing may be verified afterwards."""


class _Piece:
    """Records of one caller, at most a chunk, and the answer that the caller waits for."""

    def __init__(self, records: Sequence[SignedRecord], loop: asyncio.AbstractEventLoop) -> None:
        self.records = records
        self.answer: asyncio.Future[list[bool]] = loop.create_future()


class _Threads:
    """The threads that verify."""

    def __init__(self, count: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="verify")
        self._idle = count

    @property
    def is_full(self) -> bool:
        """Whether each thread has work."""
        return not self._idle

    def verify(self, records: Sequence[SignedRecord]) -> asyncio.Future[list[bool]]:
        """Whether each record is genuine."""
        self._idle -= 1
        verifying = self._loop.run_in_executor(self._pool, _verify, records)
        verifying.add_done_callback(self._on_done)
        return verifying

    def close(self) -> None:
        """End them when each has finished its chunk."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _on_done(self, _: asyncio.Future[list[bool]]) -> None:
        self._idle += 1


class ParallelVerifier:
    """Verifies signatures on all cores. The callers bound its queue. `processes` are those that are ready."""

    def __init__(
        self, workers: int | None = None, busy_records: int = BUSY_RECORDS, answer_s_max: float = ANSWER_S_MAX
    ) -> None:
        """`workers`: threads, and under load processes; None means one for each core, at most 4. For the rest see
        `Processes`.
        """
        workers = workers or min(os.cpu_count() or 1, _THREADS_MAX)
        self._loop = asyncio.get_running_loop()
        self._threads = _Threads(workers)
        self.processes = Processes(workers, busy_records, answer_s_max)
        self._short: deque[_Piece] = deque()
        """Pieces of short questions."""
        self._long: deque[_Piece] = deque()
        """Pieces of long questions, in their order, so that one batch is decided while the next is verified."""
        self._queues = deque([self._short, self._long])
        """Both. The one that was asked last is the first."""

    async def verify(self, records: Sequence[SignedRecord], *, is_alone: bool = False) -> list[bool]:
        if is_alone and len(records) == 1:  # verified before a thread would start
            return [records[0].is_genuine()]
        self.processes.count(len(records), self._dispatch)
        is_short = len(records) <= _SHORT_RECORDS_MAX
        size = self._share_of(len(records)) if is_short else _SHORT_RECORDS_MAX
        pieces = [_Piece(records[start : start + size], self._loop) for start in range(0, len(records), size)]
        (self._short if is_short else self._long).extend(pieces)
        self._dispatch()
        answers = [await piece.answer for piece in pieces]
        return [genuine for answer in answers for genuine in answer]

    def close(self) -> None:
        """End the threads and the processes. Callers that still wait are cancelled."""
        for queue in self._queues:
            for piece in queue:
                piece.answer.cancel()
            queue.clear()
        self._threads.close()
        self.processes.close()

    def _dispatch(self) -> None:
        """Hand out chunks as long as somebody has room for one."""
        while any(self._queues):
            worker = self.processes.least_busy() or self._threads
            if worker.is_full:
                return
            pieces = self._next_chunk()
            verifying = worker.verify(list(chain.from_iterable(piece.records for piece in pieces)))
            verifying.add_done_callback(partial(self._on_done, pieces, worker))

    def _share_of(self, records: int) -> int:
        """How many of these records, from short questions, go to one worker: all idle processes share them.

        Threads do not share them, because the way to a thread costs as much as a verification.
        """
        return min(_CHUNK_RECORDS, max(_SHARE_RECORDS_MIN, ceil(records / max(1, self.processes.idle))))

    def _next_chunk(self) -> list[_Piece]:
        """Short and long questions take turns, so that a single claim waits for one chunk of the batches that came
        before it and not for all of them, and a batch does not wait for a flood of single claims.
        """
        self._queues.rotate()
        queue = next(filter(None, self._queues))
        pieces = [queue.popleft()]
        size = len(pieces[0].records)
        most = self._share_of(size + sum(len(piece.records) for piece in queue))
        while queue and size + len(queue[0].records) <= most:
            pieces.append(queue.popleft())
            size += len(pieces[-1].records)
        return pieces

    def _on_done(
        self, pieces: list[_Piece], worker: _Threads | VerifyingProcess, done: asyncio.Future[list[bool]]
    ) -> None:
        error = None if done.cancelled() else done.exception()
        if isinstance(worker, VerifyingProcess) and isinstance(error, OSError):
            self.processes.give_up(worker, error)
            self._short.extendleft(reversed(pieces))  # first of all, because it has waited already
        self._dispatch()
        if error is None:
            _answer(done, pieces)


def _answer(done: asyncio.Future[list[bool]], pieces: list[_Piece]) -> None:
    """Give each caller its part. If the verification was cancelled, the callers are too."""
    genuine = None if done.cancelled() else iter(done.result())
    for piece in pieces:
        if genuine is None:
            piece.answer.cancel()
            continue
        answer = list(islice(genuine, len(piece.records)))
        if not piece.answer.done():
            piece.answer.set_result(answer)


def _verify(records: Sequence[SignedRecord]) -> list[bool]:
    """Runs in a thread."""
    return [record.is_genuine() for record in records]
