"""Strangers that are linked to the node under attack."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol

from protocol.link.handshake import auth
from protocol.link.messages import Domains, Hello, decode, encode
from protocol.link.terms import Identity, Role
from protocol.signing import SigningKey
from simulations.processes.process import LocalNode
from tests.attack.pace import pause

RELINK_S: Final = 0.1
"""Between two links of one attacker, if the node ends them."""

_NONCE: Final = "17" * 32
_SMALL_BUFFER_BYTES: Final = 2_048


async def link_again(links: AsyncExitStack, node: LocalNode, address: str, number: int) -> ClientConnection:
    """A link that stays open as long as `links`. If the node refuses it, come back when the refusal says."""
    while True:
        try:
            return await links.enter_async_context(linked(node, address, number))
        except InvalidStatus as refused:
            await pause(float(refused.response.headers.get("Retry-After", RELINK_S)))
        except (ConnectionClosed, ConnectionError, InvalidMessage):  # `InvalidMessage`: closed without an answer
            await pause(RELINK_S)


@asynccontextmanager
async def linked(
    node: LocalNode, address: str, number: int = 0, compression: str | None = None
) -> AsyncIterator[ClientConnection]:
    """An open link from this address, with a key of its own. Little that the node sends fits in its socket.

    `compression`: `deflate` offers it.
    """
    parts = urlsplit(node.url)
    url, subprotocols = f"{node.link_url}/gossip", [Subprotocol("dnarc.v1")]
    with socket.socket() as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER_BYTES)
        ours.bind((address, 0))
        ours.setblocking(False)
        await asyncio.get_running_loop().sock_connect(ours, (parts.hostname, parts.port))
        connection = await connect(
            url,
            sock=ours,
            subprotocols=subprotocols,
            compression=compression,
            max_size=None,
            proxy=None,
            ping_interval=None,
        )
        try:
            await _open(connection, key_of(address, number))
            yield connection
        finally:
            connection.transport.abort()
            await connection.wait_closed()


def key_of(address: str, number: int = 0) -> SigningKey:
    """The key of this link from this address."""
    return SigningKey(f"stranger {address} {number}".encode().ljust(32, b"."))


async def _open(connection: ClientConnection, key: SigningKey) -> None:
    """Prove this key, and list nothing."""
    await connection.send(encode(Hello(1, key.public, _NONCE, "stranger")))
    theirs = decode(str(await connection.recv()))
    assert isinstance(theirs, Hello)
    await connection.send(encode(auth(Role.DIALLER, Identity(key, _NONCE, "stranger"), theirs)))
    await connection.send(encode(Domains({})))


async def flood(node: LocalNode, address: str, texts: Sequence[str], compression: str | None = None) -> None:
    """Send these texts again and again, as fast as the node reads, and link again if the node ends the link."""
    while True:
        with suppress(ConnectionClosed, ConnectionError, InvalidMessage, InvalidStatus):
            async with linked(node, address, compression=compression) as connection:
                reading = asyncio.create_task(drop_all(connection))
                try:
                    while True:
                        for text in texts:
                            await connection.send(text)
                        await asyncio.sleep(0)
                finally:
                    reading.cancel()
        await pause(RELINK_S)


async def drop_all(connection: ClientConnection) -> None:
    """Read and forget all that comes."""
    with suppress(ConnectionClosed):
        while True:
            await connection.recv()


def question(domain: str, ranges: bytes) -> str:
    """A frame of a reconciliation. `ranges`: what follows the version byte of the message."""
    message = base64.b64encode(b"\x61" + ranges).decode()
    return f'{{"type":"reconcile","domain":"{domain}","message":"{message}"}}'
