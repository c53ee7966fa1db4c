"""A row that somebody wrote by hand never ends a node."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.store.contract import Cursor, Peer
from node.store.sqlite import SqliteStore

GOOD_PEER = Peer(url="http://127.0.0.1:1", pull=True)
GOOD_CURSOR = Cursor(GOOD_PEER.name, "example", "pull", 7)

ROWS = {
    "a peer whose URL is not UTF-8": "INSERT INTO peers (url) VALUES (CAST(x'687474703a2f2fff' AS TEXT))",
    "a cursor of another direction": "INSERT INTO cursors VALUES ('http://127.0.0.1:1', 'example', 'sideways', 1)",
    "a cursor whose domain is not UTF-8": (
        "INSERT INTO cursors VALUES ('http://127.0.0.1:1', CAST(x'ff' AS TEXT), 'pull', 1)"
    ),
    "a cursor without a time": "INSERT INTO cursors VALUES ('http://127.0.0.1:1', 'tower', 'pull', 'yesterday')",
}


@pytest.mark.parametrize("sql", ROWS.values(), ids=ROWS)
async def test_a_row_that_makes_no_sense_is_skipped_and_warned_of_once(tmp_path: Path, sql: str) -> None:
    store = await SqliteStore.open(tmp_path / "dnarc.db")
    await store.put_peer(GOOD_PEER)
    await store.put_cursors([GOOD_CURSOR])
    with closing(sqlite3.connect(tmp_path / "dnarc.db")) as shell:
        shell.execute(sql)
        shell.commit()

    with capture_logs() as logs:
        for _ in range(2):
            assert (await store.peers(), await store.cursors()) == ([GOOD_PEER], [GOOD_CURSOR])
    await store.close()

    (line,) = logs
    assert line["event"] == "a row written by hand is skipped"
