"""Finishes removals that a crash interrupted, before the node reads its store.

Nothing of the node is in memory yet, so the store alone has to change.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from node.store.contract import Store
from node.store.removals import Finish

FINISH_PAUSE_S: Final = 0.1
"""Between two tries to cut the log, while another program reads the file."""

FULL_REMEDY: Final = "make room for twice the size of dnarc.db, and start the node again"

log = structlog.get_logger()


def _tell_nobody(_position: int, _total: int) -> None:
    """The progress of a removal that nobody watches."""


async def complete_all(store: Store, advance: Callable[[int, int], None] = _tell_nobody) -> None:
    """Do all that is left of unfinished removals. Returns when no byte of their records is in the store's files.

    `advance` is told how far a removal is, of how much.
    """
    for removal in await store.removals.unfinished():
        while not (await store.removals.go_on(removal.number)).is_last:
            now = await store.removals.removal(removal.number)
            advance(now.position, now.total)
        await finish(store, removal.number)


async def finish(store: Store, number: int) -> None:
    """Take the bytes out of all files. While another program reads the file, try again and again.

    If the disk is too full to write the file anew, the removal stays open, and the next start tries again.
    """
    while (end := await store.removals.finish(number)) is Finish.BUSY:  # noqa: ASYNC110 - nobody tells of its end
        await asyncio.sleep(FINISH_PAUSE_S)
    if end is Finish.FULL:
        log.warning("a removal is not finished: the disk is too full", number=number, remedy=FULL_REMEDY)
