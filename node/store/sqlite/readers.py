"""The readers: connections in threads of their own, and the reads that wait for one.

Hundreds of addresses that ask for listings have a thousand reads waiting. In the order of their calls, a claim whose
label is read before its decision waited for 0.2 s, and the head of a label for 1.3 s. So the addresses of strangers
take turns, and with them the node itself, whose reads are those of no address.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Concatenate, Final, ParamSpec, TypeVar

from node.fairness.fair_slots import FairSlots
from node.fairness.read_cost import metered, reader
from node.store.sqlite.connection import Worker

_P = ParamSpec("_P")
_T = TypeVar("_T")

READS_AT_ONCE: Final = 2
"""Reads that one connection has: one that it does, and the next, so that its thread waits for no turn of the loop."""


class Readers:
    """Reads with whichever connection has fewest reads."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers = workers
        self._slots = FairSlots(READS_AT_ONCE * len(workers))

    async def run(
        self, work: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Call the function with a connection, in its thread; returns or raises what the function does."""
        async with self._slots.take(reader()):
            worker = min(self._workers, key=lambda worker: worker.waiting)
            return await worker.run(metered(work), *args, **kwargs)
