"""Redialler: keeps the link to one peer of the table, for as long as the table lists the peer.

It dials, waits until the link ends, and dials again, for ever, later after each failure. If the peer has dialled this
node already, one link is enough, so the redialler waits until that link ends.

If the peer says that another node runs with this node's key, each further try waits for the longest pause.

Pauses grow by exponential backoff with jitter (Brooker, "Exponential Backoff And Jitter", 2015), so that a node that
comes back does not meet all its peers in the same second. A peer that sent invalid records waits longest, because it
would send them again.
"""

import asyncio
from random import Random
from typing import Final, Protocol

import msgspec
import structlog

from node.links.opening import dial
from node.links.running_link import Ending
from node.links.transport import Transport
from node.passwords import hidden
from node.peer_state import STEADY_S, Outage
from node.settings.settings import Settings
from node.store.contract import Peer
from node.world import World
from protocol.errors import INVALID, Code, ProtocolError

CUT_OFF_S: Final = 3_600.0
"""Seconds until the next try after invalid records. A fault in the peer's program is mended in hours, if at all, and
each try costs both nodes."""

UNEXPLAINED_MAX: Final = 3
"""So many links in a row, each ended for another link that this node does not have, show a copy. Once is a race between
two links."""

_DOUBLINGS_MAX: Final = 32
_JITTER: Final = (0.5, 1.5)

log = structlog.get_logger()


class Linker(Protocol):
    """What a redialler needs from the links of its node."""

    async def link(self, transport: Transport, row: Peer) -> Ending:
        """Link with a peer that was dialled, and return when the link has ended. `row` is the peer's row."""

    async def wait_until_unlinked(self, peer: Peer) -> None:
        """Wait while there is a link with the peer's key."""

    def is_linked(self, peer: Peer) -> bool:
        """Whether there is an open link with this peer."""

    def on_copied(self, name: str) -> None:
        """The peer with this name has shown that another node runs with this node's key."""

    def on_changed(self) -> None:
        """A link could not be made, or has ended."""


class Redialler:
    """Keeps the link to one peer.

    `peer` is its row. `ending` says why the last link ended or could not be made, None before the first end. `outage`
    says since when the peer cannot be linked with. `instance` is that of the process that answered last; empty if none
    did, or if it does not say it.
    """

    def __init__(self, peer: Peer, settings: Settings, world: World, links: Linker) -> None:
        """`settings` gives `reconnect_min` and `reconnect_max`, and how to dial. `world` tells the time of day, and
        spreads the pauses at random.
        """
        self.peer = peer
        self.ending: Ending | None = None
        self.outage = Outage()
        self.instance = ""
        self._settings = settings
        self._links = links
        self._now_s = world.now_s
        self._backoff = Backoff(settings.reconnect_min, settings.reconnect_max, world.random)
        self._shall_hurry = asyncio.Event()
        self._unexplained = 0
        """How many links in a row the peer ended for another link that this node does not have."""

    def adopt(self, peer: Peer) -> bool:
        """Take over the row as it is now; returns False if that needs another redialler.

        A key that has become known since needs none.
        """
        if self.peer.key is None:
            self.peer = msgspec.structs.replace(self.peer, key=peer.key)
        return self.peer == peer

    def hurry(self) -> None:
        """End the pause, if there is one."""
        self._shall_hurry.set()

    async def run(self) -> None:
        """Dial, for ever."""
        while True:
            await self._wait_until_unlinked()
            self._shall_hurry.clear()
            ending = await self._dial()
            self._tell(ending)
            await self._pause(self._pause_s(ending))
            self._look_for_copy(ending)

    async def _wait_until_unlinked(self) -> None:
        """Wait while the peer has a link that it dialled itself. A steady one ends the outage."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        await self._links.wait_until_unlinked(self.peer)
        if loop.time() - begun_s >= STEADY_S:
            self.outage.end()

    async def _dial(self) -> Ending:
        """Dial once, and return when the link has ended or could not be made."""
        assert self.peer.url is not None, "a peer that is dialled has a URL"
        try:
            transport = await dial(self.peer.url, self._settings)
        except ProtocolError as error:
            return Ending(error.code, error.detail)
        return await self._links.link(transport, self.peer)

    def _pause_s(self, ending: Ending) -> float:
        """Seconds to wait before the next try."""
        if ending.code == Code.DUPLICATE_KEY or self._unexplained >= UNEXPLAINED_MAX:
            return self._backoff.longest_pause_s()
        open_s = 0.0 if ending.code == Code.DUPLICATE_LINK else ending.open_s
        return self._backoff.pause_s(open_s, is_cut_off=ending.code in INVALID)

    def _look_for_copy(self, ending: Ending) -> None:
        """Find out, after the pause, whether another process with this node's key has a link with the peer.

        It has one if the peer again and again prefers a link that this node does not have. A peer of our version says
        so by itself.
        """
        is_unexplained = (
            ending.code == Code.DUPLICATE_LINK and ending.is_theirs and not self._links.is_linked(self.peer)
        )
        self._unexplained = self._unexplained + 1 if is_unexplained else 0
        if self._unexplained >= UNEXPLAINED_MAX:
            self._links.on_copied(self.peer.name)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._shall_hurry.wait()
        except TimeoutError:
            pass

    def _tell(self, ending: Ending) -> None:
        """Keep the reason, and log it at the beginning of an outage and then from time to time."""
        now_s = self._now_s()
        self.ending = ending
        self.outage.on_link_end(ending.code, ending.reason, now_s, ending.open_s)
        if (ending.open_s == 0.0 or self.outage.is_flapping) and self.outage.is_log_due(now_s):
            log.warning("no link", peer=hidden(self.peer.name), reason=ending.reason)
        self._links.on_changed()


class Backoff:
    """The pauses between the tries of one redialler."""

    def __init__(self, first_s: float, longest_s: float, random: Random) -> None:
        """`first_s` is the pause after the first failure and `longest_s` the longest one, in seconds before jitter."""
        self._first_s = first_s
        self._longest_s = longest_s
        self._random = random
        self._failures = 0

    def pause_s(self, open_s: float, *, is_cut_off: bool = False) -> float:
        """Seconds to wait before the next try.

        The last link was open for `open_s` seconds, 0 if there was none. `is_cut_off`: it ended because of invalid
        records. Then the pause may be longer than `longest_s`, which is for honest peers.
        """
        if is_cut_off:
            return CUT_OFF_S * self._random.uniform(*_JITTER)
        if open_s >= STEADY_S:
            self._failures = 0
        doubled_s = self._first_s * 2.0 ** min(self._failures, _DOUBLINGS_MAX)
        self._failures += 1
        return min(doubled_s * self._random.uniform(*_JITTER), self._longest_s)

    def longest_pause_s(self) -> float:
        """Seconds to wait if only a person can mend the failure."""
        return self._longest_s * self._random.uniform(*_JITTER)
