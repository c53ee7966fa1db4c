"""Clients wait for the end of a race: shared by address, and woken by what decides their record only."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from node.node import Node
from node.settings.settings import Settings
from node.witness.waiting import WAITERS_MAX, RaceWaiters
from protocol.records.record import Record
from protocol.signing import SigningKey
from protocol.witness.policy import make_policy
from tests.node.witness.registrar import WITNESS, Registrar
from tests.waiting import until

ONE, OTHER = "192.0.2.1", "198.51.100.1"
LONG_S = 60.0
TIMEOUT_S = 120.0


@pytest.fixture
async def undecided(tmp_path: Path) -> AsyncIterator[Registrar]:
    """A domain whose only witness does not run."""
    policy = make_policy([WITNESS.public], 0)
    async with Node(Settings(port=0, data=tmp_path)) as node, aiohttp.ClientSession() as client:
        it = Registrar(node, client, policy)
        await it.put(it.claim(SigningKey(b"1" * 32), label="@policy", **policy.fields))
        yield it


async def rival(registrar: Registrar, seed: bytes) -> Record:
    claim = registrar.claim(SigningKey(seed * 32), timestamp=int(time.time()))
    await registrar.put(claim)
    return claim.record


def wait(waiting: RaceWaiters, record: Record, address: str | None) -> "asyncio.Task[bool]":
    return asyncio.create_task(waiting.end_of(record, LONG_S, address))


async def test_of_one_address_a_quarter_waits_and_the_oldest_gives_way(undecided: Registrar) -> None:
    record, waiting = await rival(undecided, b"a"), undecided.node.waiting

    async with asyncio.timeout(TIMEOUT_S):
        of_one = [wait(waiting, record, ONE) for _ in range(WAITERS_MAX // 4)]
        await until(lambda: len(waiting) == WAITERS_MAX // 4)
        of_other, past = wait(waiting, record, OTHER), wait(waiting, record, ONE)
        (first,), others = await asyncio.wait([*of_one, of_other, past], return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()

    assert (first in of_one, first.result()) == (True, False)


async def test_a_rival_wakes_nobody_because_it_decides_nothing(undecided: Registrar) -> None:
    """Each look reads the whole label, so a client that puts rivals would make all who wait read again and again."""
    record, waiting = await rival(undecided, b"a"), undecided.node.waiting
    task = wait(waiting, record, ONE)
    await until(lambda: len(waiting) == 1)

    await rival(undecided, b"b")
    ((waiter,),) = waiting._waiters.values()

    assert not waiter.moved.is_set()
    task.cancel()
