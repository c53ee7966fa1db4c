"""Errands: what is on its way from a process that follows to the writer. No errand outlives the writer.

Requests and links have places of their own, and callers share them as they share connections (`node.fairness.places`).
If no place is free, a request that may wait for a race gives its place to the next request. To open a link costs work
here and at the writer, so strangers may open few in a second.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from node.fairness.crowd import Crowd
from node.fairness.places import Places, Source
from node.fairness.prices import Price
from node.fleet.standing import Standing
from protocol.errors import Code, ProtocolError

RETRY_AFTER_S: Final = 1
OPEN_AGAIN_S: Final = 5

OPENING_S: Final = 0.008
"""What it costs here to open a link to the writer, and to end it. So one address may open 12 a second."""

_T = TypeVar("_T")


class _Errand:
    """One errand, which holds a place."""

    def __init__(self, address: str | None, writer: str, task: "asyncio.Task[Any]", may_wait: bool) -> None:
        self.source = _source_of(address)
        self.writer = writer
        self.task = task
        self.has_given_way = False
        self._waiting_since_s = asyncio.get_running_loop().time() if may_wait else None

    def waiting_since_s(self) -> float | None:
        return self._waiting_since_s

    def close_for_another(self) -> None:
        self.has_given_way = True
        self.task.cancel()


class Errands:
    """Counts the errands, and breaks them off when the writer has changed. `results` counts what became of them."""

    def __init__(self, standing: Standing, requests_max: int, links_max: int, crowd: Crowd | None = None) -> None:
        """`requests_max` and `links_max`: how many of each may be on their way at once. `crowd` counts the openings of
        links with other work of strangers.
        """
        self.results: Counter[str] = Counter()
        self._standing = standing
        self._requests, self._links = Places(requests_max), Places(links_max)
        self._openings = Price(OPENING_S, crowd)
        self._under_way: set[_Errand] = set()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._under_way)

    def writer(self) -> str:
        """The URL of the writer. Raises: ProtocolError: `overloaded`: there is no writer."""
        if self._standing.writer is None or self._is_closed:
            self.results["no writer"] += 1
            raise no_writer()
        return self._standing.writer

    async def run(self, work: Coroutine[Any, Any, _T], address: str | None, *, may_wait: bool = False) -> _T:
        """Await a request to the present writer. `address` is that of its caller, None for the operator. `may_wait`: it
        may wait for more than its own work.

        Raises:
            ProtocolError: `overloaded`: there is no writer, it has changed meanwhile, or there is no place.
        """
        return await self._run(work, address, self._requests, may_wait)

    async def carry(self, work: Coroutine[Any, Any, _T], address: str | None) -> _T:
        """The same for a link, which lasts until one side ends it.

        Raises:
            ProtocolError: the same; `rate_limited`: strangers open too many links a second.
        """
        if not self._openings.charge(_source_of(address)):
            work.close()
            self.results["overloaded"] += 1
            detail = "links are opened too often from your address, or by strangers altogether"
            raise ProtocolError(Code.RATE_LIMITED, detail, retry_after=OPEN_AGAIN_S)
        return await self._run(work, address, self._links, may_wait=False)

    async def _run(self, work: Coroutine[Any, Any, _T], address: str | None, places: Places, may_wait: bool) -> _T:
        try:
            writer = self.writer()
        except ProtocolError:
            work.close()
            raise
        task = asyncio.ensure_future(work)
        errand = _Errand(address, writer, task, may_wait)
        try:
            if not places.enter(errand):
                raise self._no_place()
            self._under_way.add(errand)
            await asyncio.wait([task])
        finally:
            places.leave(errand)
            self._under_way.discard(errand)
            task.cancel()
        if errand.has_given_way:
            raise self._no_place()
        if task.cancelled():
            self.results["broken off"] += 1
            raise no_writer()
        return task.result()

    def on_writer(self) -> None:
        """Break off the errands to a process that is not the writer any more. Nobody knows what became of them."""
        for errand in self._under_way:
            if errand.writer != self._standing.writer:
                errand.task.cancel()

    async def close(self) -> None:
        """Break off all, and begin no more: the role of this process changes."""
        self._is_closed = True
        tasks = [errand.task for errand in self._under_way]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _no_place(self) -> ProtocolError:
        self.results["overloaded"] += 1
        detail = "too much is on its way to the writer already, in all or from your address: send the same again"
        return ProtocolError(Code.OVERLOADED, detail, retry_after=RETRY_AFTER_S)


def _source_of(address: str | None) -> Source:
    """Who sends an errand. None: the operator, whom no share limits."""
    return Source(address or "", is_stranger=address is not None, has_share=address is not None)


def no_writer() -> ProtocolError:
    """The error where the writer cannot be asked, or did not answer. What was sent may have been taken."""
    detail = "no process of this fleet writes at the moment, or the writer has just changed: send the same again"
    return ProtocolError(Code.OVERLOADED, detail, retry_after=RETRY_AFTER_S)
