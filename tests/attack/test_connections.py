"""Connections that nobody uses keep nobody out: rows 7 and 11 of the list of attacks."""

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.attack.harness import IS_LONG, Attack, Wires, attacked, attacker, check, measure
from tests.node.authority import Authority

CONNECTIONS = 900
"""More than a node has places for."""

RESETTING = 80
"""Addresses that connect and reset all the time: thousands of connections a second."""


def silent(addresses: int, begin: bytes = b"") -> Attack:
    """Connections of so many attackers that send the beginning of a request, and then nothing."""
    return lambda wires: wires.open(CONNECTIONS, addresses, begin)


async def test_silent_connections_of_one_address(tmp_path: Path) -> None:
    with attacked(tmp_path) as node:
        check("900 silent connections of one address", await measure(node, silent(1)))


async def test_silent_connections_of_many_addresses(tmp_path: Path) -> None:
    with attacked(tmp_path) as node:
        check("900 silent connections of 300 addresses", await measure(node, silent(300)))


async def test_heads_that_never_end(tmp_path: Path) -> None:
    with attacked(tmp_path) as node:
        cost = await measure(node, silent(300, b"GET /claims HTTP/1.1\r\nX: "))
        check("900 unfinished heads of 300 addresses", cost)


async def test_streams_and_handshakes_of_links(tmp_path: Path) -> None:
    upgrade = (
        b"GET /gossip HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Protocol: dnarc.v1\r\n\r\n"
    )
    with attacked(tmp_path) as node:
        check("900 links of 60 addresses without a hello", await measure(node, silent(60, upgrade)))


async def test_connections_without_a_tls_greeting(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    flags = ("--tls-certificate", str(authority.chain), "--tls-key", str(authority.key))
    with attacked(tmp_path, *flags) as node:
        cost = await measure(node, silent(300), ca=authority.ca)
        check("900 TLS connections of 300 addresses without a hello", cost)


async def reset_again_and_again(wires: Wires, number: int) -> None:
    """Begin an upload, and reset its connection at once."""
    host, port = urlsplit(wires.node.url).netloc.split(":")
    begin = b"PUT /claims HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b" " * 5_000
    while True:
        with suppress(OSError):
            local = (attacker(number, RESETTING), 0)
            _, writer = await asyncio.open_connection(host, int(port), local_addr=local)
            writer.write(begin)
            writer.transport.abort()
        await asyncio.sleep(0)


@pytest.mark.skipif(not IS_LONG, reason="the short form says nothing about delays")
async def test_connections_that_are_reset_at_once(tmp_path: Path) -> None:
    with attacked(tmp_path) as node:
        cost = await measure(node, *[partial(reset_again_and_again, number=number) for number in range(RESETTING)])
        check(f"{RESETTING} addresses that begin uploads and reset their connections", cost)
