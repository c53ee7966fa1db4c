"""Rows that people write by hand with the sqlite3 shell: each is used as far as it makes sense, and skipped otherwise.

The constraints of the tables refuse most mistakes. SQLite lets any bytes stand in a text, though, and a row that no
program of ours wrote must not end a node at every start.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from node.store.contract import Cursor, Peer
from protocol.link.terms import Flow

_FLOWS: Final = frozenset(Flow)


class SkippedRow(msgspec.Struct, frozen=True):
    """A row that is not used: its table, its name as printable text, and why."""

    table: str
    name: str
    reason: str


def peers_of(rows: Iterable[tuple[Any, ...]]) -> tuple[list[Peer], list[SkippedRow]]:
    """The peers, and the rows that are none. A row: url and key as bytes or None; push, pull and accept."""
    peers, skipped = [], []
    for url, push, pull, accept, key in rows:
        try:
            peer = Peer(url=_text(url), push=bool(push), pull=bool(pull), accept=_flag(accept), key=_text(key))
        except UnicodeDecodeError:
            skipped.append(SkippedRow("peers", _shown(url or key), "its text is not UTF-8"))
        else:
            peers.append(peer)
    return peers, skipped


def cursors_of(rows: Iterable[tuple[Any, ...]]) -> tuple[list[Cursor], list[SkippedRow]]:
    """The cursors, and the rows that are none. A row: peer, domain and direction as bytes, and the timestamp."""
    cursors, skipped = [], []
    for name, domain, direction, timestamp in rows:
        try:
            cursor = Cursor(name.decode(), domain.decode(), direction.decode(), timestamp)
        except UnicodeDecodeError:
            skipped.append(SkippedRow("cursors", _shown(name), "its text is not UTF-8"))
            continue
        if cursor.direction not in _FLOWS:
            skipped.append(SkippedRow("cursors", _shown(name), "its direction is neither push nor pull"))
        elif type(timestamp) is not int:
            skipped.append(SkippedRow("cursors", _shown(name), "its timestamp is not an integer"))
        else:
            cursors.append(cursor)
    return cursors, skipped


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _flag(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _shown(value: bytes) -> str:
    return value.decode("ascii", "backslashreplace")
