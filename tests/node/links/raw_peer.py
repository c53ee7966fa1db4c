"""A peer without a node: it dials a node, proves a key, and then sends the frames that a test wants."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from node.node import Node
from protocol.link.handshake import auth
from protocol.link.messages import Domains, Error, Hello, Message, decode, encode, encode_records
from protocol.link.terms import Identity, Role
from protocol.records.record import Record
from protocol.signing import SigningKey
from tests.history import CAROL, signed

NONCE: Final = "17" * 32


class RawPeer:
    """One connection to a node, which sends and receives frames."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, *messages: Message | str) -> None:
        """Send these messages. A text is sent as it is."""
        for message in messages:
            await self.connection.send(message if isinstance(message, str) else encode(message))

    async def hear(self, *kinds: type) -> Any:
        """The next message of one of these kinds. Other messages are skipped."""
        while True:
            text = await self.connection.recv()
            assert isinstance(text, str)
            message = decode(text)
            if isinstance(message, kinds):
                return message

    async def give(self, *records: Record, seq: int = 1, hops: int = 1) -> None:
        """Push these records."""
        await self.say(encode_records(seq, [signed(record) for record in records], hops=hops))

    async def goodbye(self) -> tuple[str, int | None]:
        """The code of the node's `error` frame, and the code with which it closes the WebSocket."""
        error = await self.hear(Error)
        with suppress(ConnectionClosed):
            while True:
                await self.connection.recv()
        return error.code, self.connection.close_code


@asynccontextmanager
async def dialled(node: Node, **options: Any) -> AsyncIterator[ClientConnection]:
    """A WebSocket to the node without any frame so far."""
    url = node.url.replace("http", "ws", 1) + "/gossip"
    options = {"subprotocols": [Subprotocol("dnarc.v1")], "max_size": None, "proxy": None} | options
    async with connect(url, **options) as connection:
        try:
            yield connection
        finally:
            connection.transport.abort()  # because frames that nobody reads would delay a closing handshake


@asynccontextmanager
async def linked(
    node: Node, key: SigningKey = CAROL, *, push: bool = True, pull: bool = True, **options: Any
) -> AsyncIterator[RawPeer]:
    """An open link to the node. The peer has sent an empty list of domains."""
    async with dialled(node, **options) as connection:
        peer = RawPeer(connection)
        identity = Identity(key, NONCE, "raw")
        await peer.say(Hello(1, key.public, NONCE, "raw", push, pull))
        theirs = await peer.hear(Hello)
        await peer.say(auth(Role.DIALLER, identity, theirs), Domains({}))
        await peer.hear(Domains)
        yield peer
