"""What commands say of clocks that differ."""

import asyncio
from pathlib import Path

from tests.node.cli.conftest import Result, run_apart
from tests.node.http_sync.sync_network import NOW, befriend, running

AHEAD_S = 12


async def run_beside(*arguments: str) -> Result:
    """A command in a process of its own, while nodes run in this one."""
    return await asyncio.to_thread(run_apart, *arguments)


async def test_a_sync_says_that_the_clock_of_a_peer_differs(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b", now=NOW + AHEAD_S) as b:
        await befriend(a, b, pull=True)

        done = await run_beside("sync", "pull", "--json", "--node", a.url)

    assert done.json[b.url]["clock_ahead_s"] == AHEAD_S
    assert done.err.startswith(f"dnarc: warning: the clock of {b.url} is 12 s ahead of this node's: ")
    assert done.err.count("\n") == 1


async def test_domains_say_that_the_clock_of_the_node_differs(tmp_path: Path) -> None:
    async with running(tmp_path, now=NOW) as node:
        done = await run_beside("domains", "--node", node.url)

    assert f"warning: the clock of {node.url} is " in done.err
    assert " behind this machine's: records may be refused" in done.err
