"""Health: what keeps a node from its work, and what somebody should look at before it does.

A *problem* makes `GET /health` fail, so only what ending and starting this node, or moving its load elsewhere, could
help is one. A *warning* leaves the node well: a peer that is down must not make an orchestrator restart all others.
Each is a sentence that says what is wrong and what to do. Problems are also logged, once when they begin and once when
they end.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import structlog

from node.disk import store_bytes
from node.intake.commits import STALLED_S
from node.peers import hidden

if TYPE_CHECKING:
    from node.node import Node

LOOK_EVERY_S: Final = 5.0

LOG_BYTES_WARNED: Final = 1_073_741_824
"""Of the write-ahead log, which SQLite empties at 64 MB: at sixteen times that, something reads and does not end."""

log = structlog.get_logger()


def problems(node: "Node") -> list[str]:
    """Why the node cannot do its work, in words; empty where it can."""
    found = []
    if node.failed.done():
        why = node.failed.exception()
        found.append(f"the node has failed ({why}): it takes nothing more, and has to be started again")
    if node.ingest.room.is_disk_full():
        needed = node.settings.disk_free_bytes_min
        found.append(f"less than {needed} bytes are free on the disk: writes get 507 until somebody frees space")
    return found


def warnings(node: "Node") -> list[str]:
    """What will be a problem, or is one for others only, in words."""
    found = []
    if node.traffic.connections >= node.settings.connections_max:
        found.append(f"all {node.settings.connections_max} connections are taken: others are turned away")
    if node.commits.is_stalled:
        found.append(
            f"a commit has waited for over {STALLED_S:.0f} s: another program holds the database (`fuser` names it), "
            "or the disk is slow; clients get 503 until that ends"
        )
    log_bytes = store_bytes(node.settings.data).get("dnarc.db-wal", 0)
    if log_bytes > LOG_BYTES_WARNED:
        found.append(f"the write-ahead log has {log_bytes} bytes: some program reads the database and does not end")
    for name, direction, totals in node.sync.totals():
        if totals.error is not None:
            found.append(f"{direction} with {hidden(name)} fails: {totals.error}")
    return found


class Watch:
    """Looks after problems, and logs each when it is there first and when it is gone."""

    def __init__(self, find: Callable[[], Iterable[str]]) -> None:
        """`find` gives what is wrong now."""
        self._find = find
        self._known: set[str] = set()

    def look(self) -> None:
        now = set(self._find())
        for problem in sorted(now - self._known):
            log.error("not well", problem=problem)
        for problem in sorted(self._known - now):
            log.info("well again", problem=problem)
        self._known = now

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY_S)
