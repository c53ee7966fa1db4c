"""Claims that a client writes: one by one over a number of connections, or in batches of which some are in flight."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp
import msgspec

from benchmarks.common import report
from benchmarks.common.asking import Asked, Connections
from protocol.records.record import SignedRecord


def put_each(connections: Connections, claims: Sequence[SignedRecord]) -> Asked:
    """Put the claims one by one."""
    head = f"HTTP/1.1\r\nHost: {connections.host}\r\nContent-Type: application/json\r\nContent-Length:"
    requests = [
        f"PUT /claims/{it.signature} {head} {len(it.record.canonical)}\r\n\r\n".encode() + it.record.canonical
        for it in claims
    ]
    return connections.ask(requests, status=201)


async def put_batches(url: str, claims: Sequence[SignedRecord], records: int, in_flight: int) -> float:
    """Put the claims in batches of `records`, `in_flight` batches at a time; returns the seconds that it took."""
    bodies = report.bodies_of(claims, records)
    async with aiohttp.ClientSession(url) as session:

        async def put(body: bytes) -> None:
            async with session.put("/claims", data=body) as response:
                report.check_accepted(msgspec.json.decode(await response.read()))

        return await work_through(bodies, put, in_flight)


async def work_through(items: Sequence[Any], work: Callable[[Any], Awaitable[None]], in_flight: int) -> float:
    """Do the work on all items, `in_flight` at a time; returns the seconds that it took."""
    waiting = list(reversed(items))

    async def worker() -> None:
        while waiting:
            await work(waiting.pop())

    begun = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return time.perf_counter() - begun
