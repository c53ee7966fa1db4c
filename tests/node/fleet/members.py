"""Processes of a fleet within the process of a test: each is a `Member` with a folder of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from node.fleet.member import Member
from node.fleet.standing import Role
from node.node import Node
from node.settings.settings import Settings
from tests.node.http_api.talking import Answer, Client

TIMEOUT_S = 120.0


async def until_roles(members: Sequence[Member], *roles: Role) -> None:
    """Wait until the processes have these roles."""
    changed = asyncio.Event()
    for member in members:
        member.watchers.append(changed.set)
    async with asyncio.timeout(TIMEOUT_S):
        while [member.role for member in members] != list(roles):
            changed.clear()
            await changed.wait()


async def ask_until(ask: Callable[[], Awaitable[Answer]], is_so: Callable[[Answer], bool]) -> Answer:
    """Ask again and again until the answer is so, because no client is told when it will be. Returns the answer."""
    async with asyncio.timeout(TIMEOUT_S):
        while not is_so(answer := await ask()):
            pass
    return answer


@asynccontextmanager
async def fleet_of(count: int, folder: Path, url: str, **settings: Any) -> AsyncIterator[list[Member]]:
    """So many processes, of which the first writes. The settings are those of all."""
    async with AsyncExitStack() as stack:
        members = []
        for number in range(count):
            config = Settings(port=0, data=folder / str(number), store=url, **settings)
            members.append(await stack.enter_async_context(Member(config, Node)))
        yield members


@asynccontextmanager
async def clients_of(members: list[Member]) -> AsyncIterator[list[Client]]:
    """A client of each process."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Client(member.url)) for member in members]


async def end_session_of_writer(url: str) -> None:
    """End the session that writes, as the server does with one that is silent for too long."""
    shell = await asyncpg.connect(url)
    try:
        await shell.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
            "AND objid::bigint = (hashtext(current_schema())::bigint & 4294967295)"
        )
    finally:
        await shell.close()


async def term_changes(url: str) -> list[int]:
    """The terms of all commits, in the order of their numbers, each named once for each run of commits."""
    shell = await asyncpg.connect(url)
    try:
        terms = [row[0] for row in await shell.fetch("SELECT term FROM commits WHERE no > 0 ORDER BY no")]
    finally:
        await shell.close()
    return [term for place, term in enumerate(terms) if place == 0 or terms[place - 1] != term]
