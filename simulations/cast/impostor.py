"""An impostor: a client that opens a link with a key of its own, and then sends whatever the scenario wants.

    async with linked(cluster.user("mallory"), machine) as link:
        await link.send(CaughtUp(...))

The link is a real WebSocket to a real node, with an honest handshake. After the handshake the scenario decides what is
sent: frames that lie, text that is no frame, frames without end.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from protocol.link.handshake import auth, hello
from protocol.link.messages import Hello, Message, decode, encode, encode_records
from protocol.link.terms import Identity, Role, Terms
from protocol.records.record import SignedRecord
from simulations.cast.machine import Machine
from simulations.cast.user import ANSWER_S_MAX, User

HEARD_MAX: Final = 10_000
"""Messages of the node that are kept: the first."""

_TOO_BIG: Final = 1009
"""The close code for a message that is too big (RFC 6455, section 7.4.1). The library sends it without a reason."""


class ImpostorLink:
    """An open link of an impostor. `heard`: the node's messages since the handshake. `closed`: the reason
    of the end.
    """

    def __init__(self, connection: ClientConnection) -> None:
        """`connection`: open, with the handshake behind it."""
        self.heard: list[Message] = []
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._connection = connection
        self._seq = 0

    async def send(self, message: Message) -> None:
        await self.send_text(encode(message))

    async def send_text(self, text: str) -> None:
        """Send any text. If the node has closed the link the text is lost."""
        try:
            await self._connection.send(text)
        except ConnectionClosed:
            return

    async def send_records(self, records: Sequence[SignedRecord], hops: int = 1) -> None:
        """Send live records in the next frame of records."""
        self._seq += 1
        await self.send_text(encode_records(self._seq, records, None, hops))

    async def listen(self) -> None:
        """Keep the node's messages until the link closes."""
        try:
            async for text in self._connection:
                message = decode(text if isinstance(text, str) else text.decode())
                if message is not None and len(self.heard) < HEARD_MAX:
                    self.heard.append(message)
        except ConnectionClosed:
            pass
        if not self.closed.done():
            by_code = "too_large" if self._connection.close_code == _TOO_BIG else ""
            self.closed.set_result(self._connection.close_reason or by_code)

    async def close_reason(self, within_s: float) -> str | None:
        """The reason with which the node closes the link. None: the node does not close it within that time."""
        try:
            async with asyncio.timeout(within_s):
                return await asyncio.shield(self.closed)
        except TimeoutError:
            return None


@asynccontextmanager
async def linked(user: User, machine: Machine, *, push: bool = True, pull: bool = True) -> AsyncIterator[ImpostorLink]:
    """A link from this user to the node of this machine, opened with an honest handshake. It ends with the block.

    Raises:
        OSError: the node is down, does not answer in time, or does not begin the handshake.
        WebSocketException: the node refuses the connection or closes it.
    """
    nonce = user.stream.randbytes(32).hex()
    identity = Identity(user.key, nonce, "impostor")
    with user.host.here():
        connection = await connect(
            f"{machine.url()}/gossip",
            subprotocols=[Subprotocol("dnarc.v1")],
            compression=None,
            proxy=None,
            max_size=None,
            ping_interval=None,  # because the library logs an error if the node closes while a ping waits to be sent
        )
    try:
        async with asyncio.timeout(ANSWER_S_MAX):  # a machine without power never answers, and tells nobody
            await _shake_hands(connection, identity, Terms(push=push, pull=pull))
        link = ImpostorLink(connection)
        listening = asyncio.create_task(link.listen())
        try:
            yield link
        finally:
            listening.cancel()
    finally:
        connection.transport.abort()


async def _shake_hands(connection: ClientConnection, identity: Identity, terms: Terms) -> None:
    await connection.send(encode(hello(identity, terms)))
    text = await connection.recv()
    theirs = decode(text if isinstance(text, str) else text.decode())
    if not isinstance(theirs, Hello):
        raise ConnectionRefusedError(f"the first message is no hello: {theirs}")
    await connection.send(encode(auth(Role.DIALLER, identity, theirs)))
