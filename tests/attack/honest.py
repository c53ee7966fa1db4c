"""The honest client of the harness: makes a claim and reads it, again and again, each time over a new connection.

It is a process of its own, because an attack keeps the event loop of the harness busy, and the delays would be those of
that loop. One process, `python -m tests.attack.honest`, serves all attacks, because it takes as long to start as most
attacks last. It writes a line when it is ready. A line `[ADDRESS, URL, CA]` of JSON on its standard input lets it
begin, the next line lets it end, and then it writes what it measured, as one line of JSON. It exits at the end of its
input.
"""

import asyncio
import ssl
import sys
import time
from typing import Final

import aiohttp
import msgspec

from tests.attack.pace import pause
from tests.history import claim, signed

ASK_EVERY_S: Final = 0.02

PUTS_MIN: Final = 5
"""Claims that are waited for."""


class Measured(msgspec.Struct):
    """Delays are in seconds, from the connection to the whole answer. `refused` counts answers other than 201 to claims
    and 200 to reads; a broken connection counts as well.
    """

    puts_s: list[float] = msgspec.field(default_factory=list)
    reads_s: list[float] = msgspec.field(default_factory=list)
    refused: int = 0


class HonestClient:
    """The client, at this address."""

    def __init__(self, address: str, url: str, ca: str | None) -> None:
        """`ca`: the file with the authority that signed the node's certificate; None: plain HTTP."""
        self.measured = Measured()
        self._address = address
        self._url = url
        self._ssl = True if ca is None else ssl.create_default_context(cafile=ca)
        self._number = 0

    async def work(self, end: asyncio.Event) -> None:
        """Make claims until the end, but `PUTS_MIN` at least."""
        connector = aiohttp.TCPConnector(local_addr=(self._address, 0), force_close=True, ssl=self._ssl)
        async with aiohttp.ClientSession(connector=connector) as session:
            while not end.is_set() or len(self.measured.puts_s) < PUTS_MIN:
                await self._claim_and_read(session)
                await pause(ASK_EVERY_S)

    async def _claim_and_read(self, session: aiohttp.ClientSession) -> None:
        self._number += 1
        label = f"honest-{self._number}"
        one = signed(claim(label, at=int(time.time())))
        path, body = f"/claims/{one.signature}", one.record.canonical
        await self._ask(session, "PUT", path, 201, self.measured.puts_s, body)
        await self._ask(session, "GET", f"/claims/example/{label}", 200, self.measured.reads_s)

    async def _ask(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        expected: int,
        delays_s: list[float],
        body: bytes | None = None,
    ) -> None:
        begun_s = time.monotonic()
        try:
            async with session.request(method, self._url + path, data=body) as answer:
                await answer.read()
        except (aiohttp.ClientError, ConnectionError):
            self.measured.refused += 1
            return
        delays_s.append(time.monotonic() - begun_s)
        self.measured.refused += answer.status != expected


async def _main() -> None:
    _say(b"ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        client, end = HonestClient(*msgspec.json.decode(line)), asyncio.Event()
        working = asyncio.create_task(client.work(end))
        await asyncio.to_thread(sys.stdin.readline)
        end.set()
        await working
        _say(msgspec.json.encode(client.measured))


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main())
