"""The peers table: which rows it takes, and how its watchers notice a change."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from node.passwords import hidden
from node.peers import PEERS_MAX, URL_CHARACTERS_MAX, Peers
from node.store.contract import Cursor, Peer
from node.store.sqlite import SqliteStore
from protocol.errors import Code, ProtocolError
from tests.history import ALICE, BOB

URL = "http://node.example:8080"
NEVER_S = 3_600.0
"""An interval that no test waits for."""

SOON_S = 0.01
HANG_S = 120


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "dnarc.db")
    yield opened
    await opened.close()


async def test_a_peer_is_added_then_replaced_by_its_url_then_removed(store: SqliteStore) -> None:
    peers = Peers(store)

    await peers.put(Peer(url=URL, push=True))
    await peers.put(Peer(url=URL, pull=True))
    listed = await peers.list()
    was_there, is_there = await peers.remove(URL), await peers.remove(URL)

    assert (listed, was_there, is_there, await peers.list()) == ([Peer(url=URL, pull=True)], True, False, [])


async def test_removing_a_peer_removes_its_cursors(store: SqliteStore) -> None:
    peers = Peers(store)
    await peers.put(Peer(url=URL, pull=True))
    await store.put_cursors([Cursor(URL, "example", "pull", 5)])

    await peers.remove(URL)

    assert await store.cursors() == []


@pytest.mark.parametrize("is_removed_first", [True, False])
async def test_pinning_a_key_does_not_bring_back_a_removed_peer(store: SqliteStore, is_removed_first: bool) -> None:
    peers = Peers(store)
    await peers.put(Peer(url=URL, pull=True))

    changes = [peers.remove(URL), peers.pin(URL, ALICE.public)]
    await asyncio.gather(*(changes if is_removed_first else reversed(changes)))

    assert await peers.list() == []


@pytest.mark.parametrize("spelling", ["HTTP://Node.Example:8080", f"{URL}/", f"{URL}/#here"])
async def test_all_spellings_of_a_url_name_one_peer(store: SqliteStore, spelling: str) -> None:
    peers = Peers(store)

    kept = await peers.put(Peer(url=spelling, pull=True))

    assert kept.url == URL
    assert await peers.find(spelling) == await peers.find(URL) == kept


async def test_a_peer_is_found_by_its_url_with_a_hidden_password(store: SqliteStore) -> None:
    peers = Peers(store)
    kept = await peers.put(Peer(url="http://ann:s3cret@node.example:8080", pull=True))

    assert await peers.find("http://ann:***@node.example:8080") == kept


BAD = [
    ("neither URL nor key", {}),
    ("no URL at all", {"url": "banana"}),
    ("another scheme", {"url": "ftp://node.example"}),
    ("no host", {"url": "http://"}),
    ("no port", {"url": "http://node.example:99999"}),
    ("a query", {"url": f"{URL}/?a=b"}),
    ("a long URL", {"url": URL + "/" + URL_CHARACTERS_MAX * "a"}),
    ("a bad key", {"url": URL, "key": "abc"}),
    ("push without a URL", {"key": ALICE.public, "push": True}),
    ("pull without a URL", {"key": ALICE.public, "pull": True}),
]


@pytest.mark.parametrize("fields", [case[1] for case in BAD], ids=[case[0] for case in BAD])
async def test_a_row_that_cannot_be_a_peer_is_malformed(store: SqliteStore, fields: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as refused:
        await Peers(store).put(Peer(**fields))

    assert refused.value.code is Code.MALFORMED
    assert await store.peers() == []


async def test_the_table_takes_as_many_peers_as_its_limit_and_no_more(store: SqliteStore) -> None:
    peers = Peers(store)
    urls = [f"http://node-{number:04}.example" for number in range(PEERS_MAX - 1)]
    await asyncio.gather(*(store.put_peer(Peer(url=url)) for url in urls))
    await peers.put(Peer(url="http://last.example"))

    with pytest.raises(ProtocolError) as refused:
        await peers.put(Peer(url="http://one-more.example"))
    replaced = await peers.put(Peer(url="http://last.example", pull=True))

    assert refused.value.code is Code.TOO_LARGE
    assert replaced.pull
    assert len(await peers.list()) == PEERS_MAX


async def test_a_key_is_pinned_once_and_only_to_a_listed_peer(store: SqliteStore) -> None:
    peers = Peers(store)
    await peers.put(Peer(url=URL, pull=True))

    await peers.pin(URL, ALICE.public)
    await peers.pin(URL, BOB.public)
    await peers.pin("http://gone.example", BOB.public)

    assert await peers.list() == [Peer(url=URL, pull=True, key=ALICE.public)]


async def test_a_watcher_sees_the_table_and_each_change_made_here_at_once(store: SqliteStore) -> None:
    peers, peer = Peers(store), Peer(url=URL, pull=True)
    async with aclosing(peers.watch(NEVER_S)) as tables:
        first = await anext(tables)
        await peers.put(peer)
        second = await anext(tables)
        await peers.remove(URL)
        third = await anext(tables)

    assert (first, second, third) == ([], [peer], [])


async def test_a_watcher_notices_two_changes_that_undo_each_other(store: SqliteStore) -> None:
    peers = Peers(store)
    async with aclosing(peers.watch(NEVER_S)) as tables:
        await anext(tables)

        await peers.put(Peer(url=URL, pull=True))
        await peers.remove(URL)

        async with asyncio.timeout(HANG_S):
            assert await anext(tables) == []


async def test_a_watcher_notices_a_row_that_another_program_wrote(store: SqliteStore, tmp_path: Path) -> None:
    async with aclosing(Peers(store).watch(SOON_S)) as tables:
        await anext(tables)

        with sqlite3.connect(tmp_path / "dnarc.db") as shell:
            shell.execute("INSERT INTO peers (url, push, pull) VALUES (?, 0, 1)", (URL,))
        shell.close()

        async with asyncio.timeout(HANG_S):
            assert await anext(tables) == [Peer(url=URL, pull=True)]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("http://ann:s3cret@host:80", "http://ann:***@host:80"),
        ("http://:s3cret@host", "http://:***@host"),
        ("http://ann:s3:cr@et@host/x", "http://ann:***@host/x"),
        ("http://ann:s3/cret@host", "http://ann:***@host"),
        ("http://host:80/path", "http://host:80/path"),
        (ALICE.public, ALICE.public),
        ("banana", "banana"),
    ],
)
def test_a_shown_name_has_no_password(name: str, shown: str) -> None:
    assert hidden(name) == shown
