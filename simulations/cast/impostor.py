"""An impostor: somebody who speaks the protocol of links, proves a key of their own, and then says whatever they like.

    async with linked(cluster.user("mallory"), machine) as link:
        await link.send(CaughtUp(...))

It is a real WebSocket to a real node, with an honest handshake, and everything after that is the scenario's: frames
that lie, that are no frames, that never end.
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
from simulations.cast.user import User

HEARD_MAX: Final = 10_000


class ImpostorLink:
    """An open link of an impostor's. `heard` is what the node said since the handshake; `closed` why it is over."""

    def __init__(self, connection: ClientConnection) -> None:
        self.heard: list[Message] = []
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._connection = connection
        self._seq = 0

    async def send(self, message: Message) -> None:
        await self.send_text(encode(message))

    async def send_text(self, text: str) -> None:
        """Anything at all. What is said to somebody who is gone is lost."""
        try:
            await self._connection.send(text)
        except ConnectionClosed:
            return

    async def send_records(self, records: Sequence[SignedRecord], hops: int = 1) -> None:
        """As news, in the next frame of records."""
        self._seq += 1
        await self.send_text(encode_records(self._seq, records, None, hops))

    async def listen(self) -> None:
        """Keep what the node says, until it says goodbye."""
        try:
            async for text in self._connection:
                message = decode(text if isinstance(text, str) else text.decode())
                if message is not None and len(self.heard) < HEARD_MAX:
                    self.heard.append(message)
        except ConnectionClosed:
            pass
        if not self.closed.done():
            is_too_big = (
                self._connection.close_code == 1009
            )  # RFC 6455 has a code of its own for it, said by the library
            self.closed.set_result(self._connection.close_reason or ("too_large" if is_too_big else ""))

    async def close_reason(self, within_s: float) -> str | None:
        """The reason that the node closes the link with, None where it does not within that time."""
        try:
            async with asyncio.timeout(within_s):
                return await asyncio.shield(self.closed)
        except TimeoutError:
            return None


@asynccontextmanager
async def linked(user: User, machine: Machine, *, push: bool = True, pull: bool = True) -> AsyncIterator[ImpostorLink]:
    """A link from this user to a node, opened as the protocol asks for.

    Raises:
        OSError, WebSocketException: the node is down, or far, or says no.
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
        )
    try:
        await connection.send(encode(hello(identity, Terms(push=push, pull=pull))))
        text = await connection.recv()
        theirs = decode(text if isinstance(text, str) else text.decode())
        if not isinstance(theirs, Hello):
            raise ConnectionRefusedError(f"no greeting but {theirs}")
        await connection.send(encode(auth(Role.DIALLER, identity, theirs)))
        link = ImpostorLink(connection)
        listening = asyncio.create_task(link.listen())
        try:
            yield link
        finally:
            listening.cancel()
    finally:
        connection.transport.abort()
