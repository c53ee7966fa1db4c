"""The verifying processes of a node: one in the place of each verifying thread.

They start once many records come within a second, because each takes memory. From then on they stay. Nothing depends on
them: if one does not start, ends, or does not answer, the others and the threads do its work.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from node.verification.verifying_process import ANSWER_S_MAX, VerifyingProcess

BUSY_RECORDS: Final = 2_048
"""Records within a second after which the processes start: a catch-up or some batches. Two cores verify this many in a
twentieth of a second."""

_BUSY_S: Final = 1.0

log = structlog.get_logger()


class Processes:
    """The processes that are ready."""

    def __init__(self, count: int, busy_records: int = BUSY_RECORDS, answer_s_max: float = ANSWER_S_MAX) -> None:
        """`count`: processes to start. `busy_records`: records within a second that are worth them. `answer_s_max`:
        seconds that one answer may take.
        """
        self._count = count
        self._busy_records = busy_records
        self._answer_s_max = answer_s_max
        self._loop = asyncio.get_running_loop()
        self._second_begun_s = float("-inf")
        self._records_of_second = 0
        self._starting: list[asyncio.Task[None]] = []
        self._ready: list[VerifyingProcess] = []

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def idle(self) -> int:
        """How many are ready and have nothing to do."""
        return self.unanswered().count(0)

    def unanswered(self) -> list[int]:
        """The records for which each process that is ready has not answered."""
        return [process.unanswered for process in self._ready]

    def count(self, records: int, on_ready: Callable[[], None]) -> None:
        """So many records come to be verified. `on_ready` is called whenever a process is ready from now on."""
        if self._starting:
            return
        now_s = self._loop.time()
        if now_s - self._second_begun_s >= _BUSY_S:
            self._second_begun_s, self._records_of_second = now_s, 0
        self._records_of_second += records
        if self._records_of_second >= self._busy_records:
            self._starting = [self._loop.create_task(self._start(on_ready)) for _ in range(self._count)]

    def least_busy(self) -> VerifyingProcess | None:
        """The process with the least to do. None: no process is ready."""
        return min(self._ready, key=lambda process: process.unanswered) if self._ready else None

    def give_up(self, process: VerifyingProcess, error: OSError) -> None:
        """This process is of no use any more."""
        if process in self._ready:
            log.warning("a verifying process is given up: others verify in its place", reason=str(error))
            self._ready.remove(process)
            process.close()

    def close(self) -> None:
        """End them."""
        for task in self._starting:
            task.cancel()
        for process in self._ready:
            process.close()

    async def _start(self, on_ready: Callable[[], None]) -> None:
        try:
            self._ready.append(await VerifyingProcess.start(self._answer_s_max))
        except OSError as error:
            log.warning("a verifying process did not start: threads verify in its place", reason=str(error))
        else:
            on_ready()
