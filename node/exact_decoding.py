"""Decoding in a thread: the exact way from bytes to a record, which may take 100 ms for one large record.

`protocol.records.canonical` has a fast path, which takes a few microseconds in the event loop. Bytes that the fast path
cannot prove to be canonical take the exact path, in pure Python: 0.4 us a byte. On the event loop, one large record
would delay everybody. In a thread it shares the interpreter lock with the loop, which then waits up to 5 ms for the
lock (`sys.getswitchinterval`).

The thread takes one record of each source in turn, so that a flood of one source does not delay the others.
"""

import asyncio
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import msgspec

from node.fairness.fair_queue import FairQueue
from protocol.errors import ProtocolError
from protocol.records.record import Record, decode


class Decoder(Protocol):
    """Decodes records the exact way."""

    async def decode(self, data: bytes, source: Hashable) -> Record:
        """The record in these bytes, in any JSON spelling. `source` names who sent them.

        Raises:
            ProtocolError: `too_large` or `malformed`.
        """

    def close(self) -> None:
        """Stop. Callers that still wait are cancelled, and nothing may be decoded afterwards."""


class _Job(msgspec.Struct):
    """Bytes, and the future of the record in them."""

    data: bytes
    record: asyncio.Future[Record]


class ThreadedDecoder:
    """Decodes in one thread. The callers bound its queue."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._waiting: FairQueue[_Job] = FairQueue()
        self._is_busy = False

    async def decode(self, data: bytes, source: Hashable) -> Record:
        loop = asyncio.get_running_loop()
        job = _Job(data, loop.create_future())
        self._waiting.put(source, job)
        self._dispatch(loop)
        return await job.record

    def close(self) -> None:
        while self._waiting:
            self._waiting.take().record.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _dispatch(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting and not self._is_busy:
            job = self._waiting.take()
            if job.record.done():  # its client has gone
                continue
            self._is_busy = True
            work = loop.run_in_executor(self._pool, _decode, job.data)
            work.add_done_callback(lambda done, job=job: self._on_done(done, job, loop))  # type: ignore[misc]

    def _on_done(
        self, done: asyncio.Future[Record | ProtocolError], job: _Job, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._is_busy = False
        if done.cancelled():
            job.record.cancel()
            return
        self._dispatch(loop)
        answer = done.result()
        if job.record.done():
            return
        if isinstance(answer, ProtocolError):
            job.record.set_exception(answer)
        else:
            job.record.set_result(answer)


def _decode(data: bytes) -> Record | ProtocolError:
    """Runs in the thread. An error is returned, because bytes that are no record are no fault of the thread.

    Its traceback is dropped, because it would keep the values of all these frames in memory: 10 MB for one record.
    """
    try:
        return decode(data)
    except ProtocolError as error:
        return error.with_traceback(None)
