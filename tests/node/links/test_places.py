"""Strangers never take all places for links, nor all for handshakes: a listed peer always gets in."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from node.fairness import prices
from node.node import Node
from node.store.contract import Peer
from protocol.link.handshake import auth
from protocol.link.messages import Domains, Hello
from protocol.link.terms import Identity, Role
from protocol.signing import SigningKey
from tests.history import ALICE
from tests.node.links.network import running
from tests.node.links.raw_peer import NONCE, RawPeer, dialled, linked

STRANGERS: dict[str, Any] = {"loopback_trusted": False, "trusted_proxies": ["192.0.2.0/24"]}
"""With these settings the addresses 127.0.0.1, 127.0.0.2 and so on belong to strangers."""

KEYS = [SigningKey((b"stranger %d" % number).ljust(32, b".")) for number in range(8)]


@asynccontextmanager
async def listing_alice(folder: Path, **settings: Any) -> AsyncIterator[Node]:
    """A node that lists Alice, and has not heard of her address."""
    async with running(folder, **STRANGERS, **settings) as node:
        await node.peers.put(Peer(key=ALICE.public, accept=True))
        yield node


def at(number: int) -> dict[str, Any]:
    """Options of a connection from an address of its own."""
    return {"local_addr": (f"127.0.1.{number}", 0)}


async def prove(connection: ClientConnection, key: SigningKey) -> RawPeer:
    """Prove this key to the node at the other end."""
    peer = RawPeer(connection)
    await peer.say(Hello(1, key.public, NONCE, "raw", push=True, pull=True))
    theirs = await peer.hear(Hello)
    await peer.say(auth(Role.DIALLER, Identity(key, NONCE, "raw"), theirs))
    return peer


async def end_of(connection: ClientConnection) -> int | None:
    """Read until the connection is over, and return how it was closed."""
    with suppress(ConnectionClosed):
        while True:
            await connection.recv()
    return connection.close_code


async def test_a_listed_peer_gets_a_link_beside_strangers_that_have_all_theirs(tmp_path: Path) -> None:
    async with listing_alice(tmp_path, links_max=4) as node, AsyncExitStack() as stack:
        for number in range(3):
            await stack.enter_async_context(linked(node, KEYS[number], **at(number + 1)))
        one_more = await prove(await stack.enter_async_context(dialled(node, **at(4))), KEYS[3])
        goodbye = await one_more.goodbye()
        await stack.enter_async_context(linked(node, ALICE, **at(5)))
        warnings = node.warnings()

    assert goodbye == ("overloaded", 1013)
    assert any(warning.startswith("links were turned away") for warning in warnings)


async def test_handshakes_that_stall_give_way_to_the_next_one(tmp_path: Path) -> None:
    async with listing_alice(tmp_path, handshakes_max=4) as node, AsyncExitStack() as stack:
        stalled = [await stack.enter_async_context(dialled(node, **at(number + 1))) for number in range(8)]
        await stack.enter_async_context(linked(node, ALICE, **at(9)))
        end = await end_of(stalled[0])

    assert end == 1006, "it was cut off"


async def test_handshakes_of_one_address_give_way_to_each_other_first(tmp_path: Path) -> None:
    async with listing_alice(tmp_path, handshakes_max=4) as node, AsyncExitStack() as stack:
        other = await stack.enter_async_context(dialled(node, **at(1)))
        for _ in range(8):
            await stack.enter_async_context(dialled(node, **at(2)))

        peer = await prove(other, KEYS[0])

        assert await peer.hear(Domains), "its handshake goes on"


async def test_an_address_has_a_limited_number_of_links_unless_a_listed_peer_is_there(tmp_path: Path) -> None:
    async with listing_alice(tmp_path, links_per_address_max=2) as node, AsyncExitStack() as stack:
        for number in range(2):
            await stack.enter_async_context(linked(node, KEYS[number], **at(1)))
        with pytest.raises(InvalidStatus) as refused:
            await stack.enter_async_context(dialled(node, **at(1)))
        await stack.enter_async_context(linked(node, ALICE, **at(2)))
        for number in range(2, 5):
            await stack.enter_async_context(linked(node, KEYS[number], **at(2)))

    assert refused.value.response.status_code == 429


async def test_strangers_may_open_few_links_a_second_also_if_they_close_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To open a link costs work. With this share, one link of an address uses up what it may use in ten minutes."""
    monkeypatch.setattr(prices, "SHARE_MAX", 1e-6)
    async with listing_alice(tmp_path) as node, AsyncExitStack() as stack:
        async with dialled(node, **at(1)):
            pass
        with pytest.raises(InvalidStatus) as refused:
            await stack.enter_async_context(dialled(node, **at(1)))
        await stack.enter_async_context(linked(node, ALICE, **at(2)))

    assert refused.value.response.status_code == 429
    assert int(refused.value.response.headers["Retry-After"]) > 0
