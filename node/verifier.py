"""Verification in threads: what takes the time in this node, and all that a second core can do for it.

libsodium works with the interpreter lock released, so threads run truly beside each other, but handing over costs as
much as a verification. So a thread takes 16 to 64 records at a time, from as many callers as it needs to; measured on
two cores, one record a task gains nothing over one thread, 64 reach nearly twice its rate.
"""

import asyncio
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from protocol.record import SignedRecord

_CHUNK_RECORDS: Final = 64


class Verifier(Protocol):
    """Whatever tells genuine signatures from others."""

    async def verify(self, records: Sequence[SignedRecord], *, is_alone: bool = False) -> list[bool]:
        """Which of these are genuine, in their order. `is_alone`: nothing else is on its way, so haste beats
        throughput.
        """

    def close(self) -> None:
        """Verify no more."""


class _Piece:
    """Some records of one caller, at most a chunk, and the answer that it waits for."""

    def __init__(self, records: Sequence[SignedRecord], loop: asyncio.AbstractEventLoop) -> None:
        self.records = records
        self.answer: asyncio.Future[list[bool]] = loop.create_future()


class ThreadedVerifier:
    """Verifies signatures on `threads` threads; None: one per core. Its queue is bounded by whoever calls it."""

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="verify")
        self._queue: deque[_Piece] = deque()
        self._busy = 0

    async def verify(self, records: Sequence[SignedRecord], *, is_alone: bool = False) -> list[bool]:
        if is_alone and len(records) == 1:  # done before a thread would have begun
            return [records[0].is_genuine()]
        loop = asyncio.get_running_loop()
        starts = range(0, len(records), _CHUNK_RECORDS)
        pieces = [_Piece(records[start : start + _CHUNK_RECORDS], loop) for start in starts]
        self._queue.extend(pieces)
        self._dispatch(loop)
        answers = [await piece.answer for piece in pieces]
        return [genuine for answer in answers for genuine in answer]

    def close(self) -> None:
        """End the threads. Who still waits is cancelled: nothing of theirs was decided."""
        for piece in self._queue:
            piece.answer.cancel()
        self._queue.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _dispatch(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._queue and self._busy < self._threads:
            pieces = self._next_chunk()
            self._busy += 1
            work = loop.run_in_executor(self._pool, _verify_all, [piece.records for piece in pieces])
            work.add_done_callback(lambda done, pieces=pieces: self._on_done(done, pieces, loop))  # type: ignore[misc]

    def _next_chunk(self) -> list[_Piece]:
        pieces = [self._queue.popleft()]
        size = len(pieces[0].records)
        while self._queue and size + len(self._queue[0].records) <= _CHUNK_RECORDS:
            pieces.append(self._queue.popleft())
            size += len(pieces[-1].records)
        return pieces

    def _on_done(
        self, done: asyncio.Future[list[list[bool]]], pieces: list[_Piece], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._busy -= 1
        self._dispatch(loop)
        if done.cancelled():
            for piece in pieces:
                piece.answer.cancel()
            return
        for piece, answer in zip(pieces, done.result(), strict=True):
            if not piece.answer.done():
                piece.answer.set_result(answer)


def _verify_all(pieces: list[Sequence[SignedRecord]]) -> list[list[bool]]:
    return [[record.is_genuine() for record in records] for records in pieces]
