"""Patience: requests that wait for a database that is away are refused, and all others are answered."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from node.http_api.requests.patience import Waits
from node.store.outage import Failure, Outage, Probing
from protocol.errors import Code, ProtocolError
from tests.waiting import until


class Database:
    """A database that answers while it is `up`."""

    def __init__(self) -> None:
        self.up = True
        self.outage = Outage("reads")
        self.probing = Probing(self.outage, self._probe, 0.0)

    async def _probe(self) -> Failure | None:
        return None if self.up else Failure("connection refused", "start the server")

    async def read(self) -> str:
        while not self.up:
            await self.probing.wait()
        return "a record"

    async def fail(self) -> asyncio.Task[str]:
        """The server ends while a call is under way; returns the call when the trouble is known."""
        self.up = False
        call = asyncio.create_task(self.read())
        await until(lambda: self.outage.trouble is not None)
        return call


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    database = Database()
    yield database
    await database.probing.close()


async def from_memory() -> str:
    return "a head"


async def test_requests_that_wait_during_an_outage_are_refused(database: Database) -> None:
    patience = Waits(database.outage, patience_s=0.0)
    database.up = False

    with pytest.raises(ProtocolError) as under_way:
        await patience.wait(database.read())
    with pytest.raises(ProtocolError) as new:
        await patience.wait(database.read())

    assert [(each.value.code, each.value.facts) for each in (under_way, new)] == [
        (Code.OVERLOADED, {"retry_after": 2})
    ] * 2


async def test_a_request_that_is_answered_from_memory_is_answered_during_an_outage(database: Database) -> None:
    patience = Waits(database.outage, patience_s=0.0)
    call = await database.fail()

    assert await patience.wait(from_memory()) == "a head"
    call.cancel()


async def test_a_request_is_answered_when_the_server_is_back_soon(database: Database) -> None:
    patience = Waits(database.outage, patience_s=3_600.0)
    waiting = await database.fail()
    request = asyncio.create_task(patience.wait(database.read()))
    await asyncio.sleep(0)

    database.up = True

    assert [await request, await waiting] == ["a record"] * 2


async def test_a_request_may_take_its_time_after_an_outage(database: Database) -> None:
    patience = Waits(database.outage, patience_s=3_600.0)
    leave = asyncio.Event()

    async def long() -> str:
        await database.read()
        await leave.wait()
        return "many pages"

    waiting = await database.fail()
    request = asyncio.create_task(patience.wait(long()))
    database.up = True
    await until(lambda: database.outage.trouble is None)
    patience._patience_s = 0.0
    await asyncio.sleep(0)
    leave.set()

    assert [await request, await waiting] == ["many pages", "a record"]


async def test_a_timeout_of_the_request_itself_is_not_taken_for_an_outage(database: Database) -> None:
    async def slow() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await Waits(database.outage).wait(slow())
