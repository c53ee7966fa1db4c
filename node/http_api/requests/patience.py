"""Patience: how long a request waits for a database whose server is away.

A server that starts anew is back within a second or two, and then nobody notices more than a slow answer. After that,
requests that need the database are refused, because a client can ask another node. A request that is answered from
memory does not wait, so it is answered during an outage too.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Self, TypeVar

from node.store.outage import Outage, Outages
from protocol.errors import Code, ProtocolError

PATIENCE_S: Final = 2.0
"""Seconds that requests wait after the server was found to be away."""

RETRY_AFTER_S: Final = 2

_T = TypeVar("_T")


class Patience(NamedTuple):
    """The waits of all requests."""

    reads: "Waits"
    writes: "Waits"

    @classmethod
    def of(cls, outages: Outages | None, patience_s: float = PATIENCE_S) -> Self | None:
        """The patience with a store that has these outages. None: its database cannot be away."""
        if outages is None:
            return None
        return cls(Waits(outages.reading, patience_s=patience_s), Waits(*outages, patience_s=patience_s))

    def for_method(self, method: str) -> "Waits":
        return self.reads if method == "GET" else self.writes


class Waits:
    """Requests that may wait for the database. They are refused during one of these outages."""

    def __init__(self, *outages: Outage, patience_s: float = PATIENCE_S) -> None:
        self._outages = outages
        self._patience_s = patience_s
        self._limits: set[asyncio.Timeout] = set()
        self._refusals: dict[object, Callable[[], object]] = {}
        self._end: asyncio.TimerHandle | None = None
        for outage in outages:
            outage.watchers.append(self._on_change)

    @property
    def is_away(self) -> bool:
        """Whether the database is away now."""
        return self._end_s() is not None

    async def wait(self, answering: Awaitable[_T]) -> _T:
        """Await the work of a request.

        Raises:
            ProtocolError: `overloaded` if it waited for the database during an outage.
        """
        limit = asyncio.timeout_at(self._end_s())
        self._limits.add(limit)
        try:
            async with limit:
                return await answering
        except TimeoutError:
            if not limit.expired():
                raise
            raise away() from None
        finally:
            self._limits.discard(limit)

    def begin(self, request: object, refuse: Callable[[], object]) -> None:
        """A request begins to wait, until `end`. `refuse` is called if an outage takes too long."""
        self._refusals[request] = refuse

    def end(self, request: object) -> None:
        """The request waits no longer."""
        self._refusals.pop(request, None)

    def _end_s(self) -> float | None:
        """When the patience of requests ends, by the clock of the loop; None: the server answers."""
        since_s = [outage.trouble.since_s for outage in self._outages if outage.trouble is not None]
        return min(since_s) + self._patience_s if since_s else None

    def _on_change(self) -> None:
        """Limit the requests that are under way, or let them go on."""
        end_s = self._end_s()
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(end_s)
        if self._end is not None:
            self._end.cancel()
        self._end = None if end_s is None else asyncio.get_running_loop().call_at(end_s, self._refuse)

    def _refuse(self) -> None:
        refusals, self._refusals = self._refusals, {}
        for refuse in refusals.values():
            refuse()


def away() -> ProtocolError:
    """The error for a client while the database is away."""
    detail = "this node's database is away: try again in a moment, or ask another node"
    return ProtocolError(Code.OVERLOADED, detail, retry_after=RETRY_AFTER_S)
