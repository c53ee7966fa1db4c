"""A dialler: keeps the link to one peer of the table, for as long as the peer is listed.

It dials, is linked until the link ends, and dials again, for ever, later after each failure. Where the peer has dialled
this node already, one link is enough, and the dialler waits until that one ends.
"""

import asyncio
from typing import TYPE_CHECKING

import msgspec
import structlog

from node.links.backoff import Backoff
from node.links.dialling import dial
from node.links.ending import Ending
from node.peers import hidden
from node.store.contract import Peer
from protocol.errors import INVALID, ProtocolError

if TYPE_CHECKING:
    from node.links.registry import Links

log = structlog.get_logger()


class Dialler:
    """The work on one row. `ending` says why there is no link, None before the first one ended."""

    def __init__(self, links: "Links", peer: Peer) -> None:
        self.peer = peer
        self.ending: Ending | None = None
        self._links = links
        settings = links.node.settings
        self._backoff = Backoff(settings.reconnect_min, settings.reconnect_max, links.node.world.random)
        self._hurry = asyncio.Event()

    def adopts(self, peer: Peer) -> bool:
        """Whether the row, as it is now, asks for what this dialler does: only its key may have become known."""
        if self.peer.key is None:
            self.peer = msgspec.structs.replace(self.peer, key=peer.key)
        return self.peer == peer

    def hurry(self) -> None:
        """Dial now, if it was put off."""
        self._hurry.set()

    async def run(self) -> None:
        """Dial, for ever."""
        while True:
            await self._links.until_unlinked(self.peer)
            self._hurry.clear()
            ending = await self._linked()
            self._tell(ending)
            await self._wait(self._backoff.pause_s(ending.open_s, is_cut_off=ending.code in INVALID))

    async def _linked(self) -> Ending:
        """Dial once; returns when the link has ended, or could not be made."""
        assert self.peer.url is not None, "a peer that is dialled has a URL"
        try:
            wire = await dial(self.peer.url, self._links.node.settings)
        except ProtocolError as error:
            return Ending(error.code, error.detail)
        return await self._links.link(wire, self.peer)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            pass

    def _tell(self, ending: Ending) -> None:
        """One line for each reason, and not one for each try."""
        was, self.ending = self.ending, ending
        self._links.on_changed()
        if ending.open_s == 0.0 and (was is None or was.reason != ending.reason):
            log.warning("no link", peer=hidden(self.peer.name), reason=ending.reason)
