"""A dialler: keeps the link to one peer of the table, for as long as the peer is listed.

It dials, is linked until the link ends, and dials again, for ever, later after each failure. Where the peer has dialled
this node already, one link is enough, and the dialler waits until that one ends.
"""

import asyncio
from typing import TYPE_CHECKING

import msgspec
import structlog

from node.links.opening import dial
from node.links.running_link import Ending
from node.peers import hidden
from node.store.contract import Peer
from protocol.errors import INVALID, ProtocolError

if TYPE_CHECKING:
    from node.links.registry import Links
from random import Random
from typing import Final

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


CUT_OFF_S: Final = 3_600.0
"""After invalid records: a fault in a peer's program is mended in hours, if at all, and each try costs both."""

STEADY_S: Final = 10.0
"""A link that stood this long was no failure, whatever ended it."""

_DOUBLINGS_MAX: Final = 32
_JITTER: Final = (0.5, 1.5)


class Backoff:
    """The pauses of one dialler, in seconds."""

    def __init__(self, first_s: float, longest_s: float, random: Random) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._random = random
        self._failures = 0

    def pause_s(self, open_s: float, *, is_cut_off: bool = False) -> float:
        """How long to wait after a link that was open for so long; 0: it never was."""
        if is_cut_off:
            return CUT_OFF_S * self._random.uniform(*_JITTER)  # longer than `longest_s`: that is for honest peers
        if open_s >= STEADY_S:
            self._failures = 0
        doubled = self._first_s * 2.0 ** min(self._failures, _DOUBLINGS_MAX)
        self._failures += 1
        return min(doubled * self._random.uniform(*_JITTER), self._longest_s)
