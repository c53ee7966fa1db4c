"""The work that a link does on its transport all the time: read texts, write texts, ping.

The reader does not read while the node has too much to do for this link. Then the socket fills up, and the peer has to
wait. The writer keeps the order of the texts. Pings show whether the peer is still there: TCP notices a peer that lost
its power only after many minutes, and only if something is sent (RFC 6455, section 5.5.2, on pings).
"""

import asyncio
from collections import deque
from collections.abc import Callable

from node.links.send_room import SendRoom
from node.links.transport import Transport


class Reader:
    """Reads one text after another, and knows for how long it has been waiting for the peer."""

    def __init__(self, transport: Transport, is_pressed: Callable[[], bool]) -> None:
        """`is_pressed` says whether nothing more shall be read now."""
        self._transport = transport
        self._is_pressed = is_pressed
        self._is_relieved = asyncio.Event()
        self._waiting_since_s: float | None = None

    async def next_text(self) -> str:
        """Wait until the node can take more, and return the next text.

        Raises:
            TransportEndedError: the connection is over.
            ProtocolError: `malformed`: the message is binary.
        """
        while self._is_pressed():
            self._is_relieved.clear()
            await self._is_relieved.wait()
        self._waiting_since_s = asyncio.get_running_loop().time()
        text = await self._transport.receive()
        self._waiting_since_s = None
        return text

    def relieve(self) -> None:
        """Ask `is_pressed` again. Call this after each change that may have made it false."""
        self._is_relieved.set()

    def has_waited(self, seconds: float) -> bool:
        """Whether the peer sent nothing for this many seconds although this end was reading."""
        since_s = self._waiting_since_s
        return since_s is not None and asyncio.get_running_loop().time() - since_s >= seconds


class FrameWriter:
    """Sends texts in their order. `unsent_bytes` is the size of the texts that wait for the socket.

    A text counts one byte for each character, because nearly all frames are ASCII.

    The writer wakes up in the turn of the event loop after a text was put in. It has no limit of its own, because those
    who put texts in limit them: the machine by its window, and the link by not reading from a peer that does not read.
    `room` says whether the link may hold more in memory.
    """

    def __init__(self, transport: Transport, room: SendRoom, on_sent: Callable[[int], None]) -> None:
        """`on_sent` is called with the size of each text, after the socket has taken the text."""
        self.room = room
        self.unsent_bytes = 0
        self._transport = transport
        self._on_sent = on_sent
        self._texts: deque[str] = deque()
        self._has_texts = asyncio.Event()
        self._is_flushed = asyncio.Event()
        self._has_sent = asyncio.Event()
        self._is_over = False

    def put(self, text: str) -> None:
        """Send this text after the others."""
        if self._is_over:
            return
        self._texts.append(text)
        self._count(len(text))
        self._is_flushed.clear()
        self._has_texts.set()

    async def run(self) -> None:
        """Send texts for ever.

        Raises:
            TransportEndedError: the connection is over.
        """
        try:
            while True:
                await self._send_texts()
                self._is_flushed.set()
                self._has_texts.clear()
                await self._has_texts.wait()
        finally:
            self._is_over = True
            self._is_flushed.set()
            self.room.close()

    async def wait_for_room(self) -> None:
        """Wait while the link may hold nothing more in memory."""
        while self.room.is_full:
            self._has_sent.clear()
            await self._has_sent.wait()

    def _count(self, size_bytes: int) -> None:
        self.unsent_bytes += size_bytes
        self.room.add(size_bytes)

    async def _send_texts(self) -> None:
        while self._texts:
            text = self._texts.popleft()
            await self._transport.send(text)
            self._count(-len(text))
            self._has_sent.set()
            self._on_sent(len(text))

    async def flush(self, seconds_max: float) -> None:
        """Wait until the socket has taken all texts or is over, but at most this many seconds."""
        try:
            async with asyncio.timeout(seconds_max):
                await self._is_flushed.wait()
        except TimeoutError:
            pass


async def ping_forever(
    transport: Transport,
    interval_s: float,
    timeout_s: float,
    is_silent: Callable[[float], bool],
    on_round_trip: Callable[[float], None],
) -> None:
    """Ping every `interval_s` seconds, and return when the peer is dead.

    A peer is dead if a ping had no answer within `timeout_s`, and `is_silent(timeout_s)` says that nothing else came
    either. `on_round_trip` is called with the seconds of each answered ping.

    Raises:
        TransportEndedError: the connection is over.
    """
    while True:
        try:
            async with asyncio.timeout(timeout_s):
                on_round_trip(await transport.ping())
        except TimeoutError:
            if is_silent(timeout_s):
                return
        await asyncio.sleep(interval_s)
