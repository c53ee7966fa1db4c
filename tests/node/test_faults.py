"""What an error of the machine or of the network means, and what to do: each cause is brought about for real."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from node import faults
from node.client.errors import NodeError, Unreachable
from node.client.http import NodeClient
from node.links.opening import dial
from node.settings.settings import Settings
from node.store.contract import Peer
from protocol.errors import ProtocolError
from tests.node.authority import Authority
from tests.node.http_sync.sync_network import running, sync

Server = Callable[[Path], AbstractAsyncContextManager[str]]
"""Starts a server for a test, whose files are in this folder. Yields `scheme://host:port`, the scheme as for HTTP."""

PATIENT_S = 120.0
"""Seconds that a client waits for a server. No server here takes as long."""

SHORT_S = 0.5
"""Seconds that a client waits for a server that says nothing."""


@asynccontextmanager
async def tcp(answer: bytes | None, scheme: str = "http", tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that reads a request and gives this answer; None: it says nothing."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        if answer is None:
            await ended.wait()
        else:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        ended.set()
        server.close()


def with_status(status: int, headers: str = "") -> Server:
    answer = f"HTTP/1.1 {status} Reason\r\n{headers}Content-Length: 3\r\nContent-Type: text/html\r\n\r\nbad".encode()
    return lambda _: tcp(answer)


@asynccontextmanager
async def address_of(url: str) -> AsyncIterator[str]:
    yield url


@asynccontextmanager
async def unused_port(_folder: Path) -> AsyncIterator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@asynccontextmanager
async def tls(
    folder: Path, days: float = 1.0, address: str = "127.0.0.1", *, is_known: bool = True, scheme: str = "https"
) -> AsyncIterator[str]:
    """A server with a certificate. `is_known`: the authority that signed it is in the folder's `ca.pem`."""
    authority = Authority(folder, days=days, address=address)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.chain, authority.key)
    if not is_known:
        (folder / "other").mkdir()
        Authority(folder / "other").ca.rename(authority.ca)
    async with tcp(b"", scheme, context) as url:
        yield url


NETWORK: dict[str, tuple[Server, str]] = {
    "refused": (unused_port, "nothing listens there"),
    "no name": (lambda _: address_of("http://nowhere.invalid:8080"), "its name has no address"),
    "silence": (lambda _: tcp(None), "it does not answer in time"),
    "closed": (lambda _: tcp(b""), "it closed the connection without an answer"),
    "another protocol": (lambda _: tcp(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "the answer there is not HTTP"),
    "TLS to a plain port": (lambda _: tcp(b"HTTP/1.1 400 Bad\r\n\r\n", "https"), "it does not speak TLS on this port"),
    "plain HTTP to a TLS port": (partial(tls, scheme="http"), "it closed the connection without an answer"),
    "an unknown authority": (partial(tls, is_known=False), "no known authority has signed its certificate"),
    "an expired certificate": (partial(tls, days=-0.5), "its certificate has expired"),
    "another host": (partial(tls, address="127.0.0.9"), "its certificate is not for this IP address"),
    "401": (with_status(401), "asks for a password"),
    "404": (with_status(404), "no dnarc node"),
    "502": (with_status(502), "a proxy answers, and the node behind it does not"),
}


def authority_in(folder: Path) -> Path | None:
    return folder / "ca.pem" if (folder / "ca.pem").exists() else None


async def ask_as_command(url: str, folder: Path, timeout_s: float) -> str:
    def ask() -> str:
        with NodeClient(url, timeout_s=timeout_s, authority=authority_in(folder)) as client:
            try:
                client.get("/node")
            except (Unreachable, NodeError) as error:
                return f"{error} ({error.remedy})"
        raise AssertionError("no node is there")

    return await asyncio.to_thread(ask)


async def ask_as_sync(url: str, folder: Path, timeout_s: float) -> str:
    async with running(folder / "data", peer_timeout=timeout_s, tls_ca=authority_in(folder)) as node:
        await node.peers.put(Peer(url=url, pull=True))
        return str((await sync(node, "pull", url))["error"])


async def ask_as_link(url: str, folder: Path, timeout_s: float) -> str:
    settings = Settings(peer_timeout=timeout_s, tls_ca=authority_in(folder))
    with pytest.raises(ProtocolError) as refused:
        await dial(url.replace("http", "ws", 1), settings)
    return refused.value.detail


@pytest.mark.parametrize("ask", [ask_as_command, ask_as_sync, ask_as_link])
@pytest.mark.parametrize("cause", NETWORK)
async def test_the_reason_why_a_machine_cannot_be_asked_is_named(
    ask: Callable[[str, Path, float], Awaitable[str]], cause: str, tmp_path: Path
) -> None:
    server, words = NETWORK[cause]

    async with server(tmp_path) as url:
        said = await ask(url, tmp_path, SHORT_S if cause == "silence" else PATIENT_S)

    assert words in said


def error_of(work: Callable[[], object]) -> OSError:
    with pytest.raises(OSError) as raised:  # noqa: PT011 - any is the machine's, and the test compares its words
        work()
    return raised.value


def fill(path: Path) -> None:
    """Fill the device on which every write finds no space."""
    with Path("/dev/full").open("wb", buffering=0) as file:
        file.write(path.name.encode())


FILES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a file in the path": (lambda it: (it / "file" / "x").mkdir(), "not a directory", "a part of the path is a file"),
    "a folder for a file": (lambda it: (it / "folder").read_bytes(), "is a directory", "move it away"),
    "a file for a folder": (lambda it: (it / "file").mkdir(), "file exists", "a file stands where a folder belongs"),
    "absent": (lambda it: (it / "absent").read_bytes(), "no such file or directory", "check the path"),
    "links in a circle": (lambda it: (it / "circle").read_bytes(), "too many levels of symbolic links", "circle"),
    "a long name": (lambda it: (it / ("x" * 300)).mkdir(), "file name too long", "name a shorter path"),
    "a full device": (fill, "no space is free on the disk", "free space there"),
}


@pytest.mark.parametrize("cause", FILES)
def test_the_reason_why_a_file_cannot_be_used_is_named(cause: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    work, reason, remedy = FILES[cause]

    fault = faults.of_file(error_of(partial(work, tmp_path)), tmp_path)

    assert fault.reason == reason
    assert remedy in fault.remedy


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.EROFS, "writable"), (errno.EACCES, "chown"), (errno.EIO, "the disk fails")]
)
def test_a_right_a_mount_and_a_broken_disk_have_remedies_of_their_own(number: int, remedy: str) -> None:
    assert remedy in faults.of_file(OSError(number, os.strerror(number)), Path("/")).remedy


def listen_at(host: str, port: int) -> object:
    async def listen() -> None:
        (await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port)).close()

    return asyncio.run(listen())


@pytest.mark.parametrize(
    ("host", "reason"),
    [("203.0.113.5", "this machine does not have that address"), ("nowhere.invalid", "the host nowhere.invalid has")],
)
def test_the_reason_why_a_node_cannot_listen_is_named(host: str, reason: str) -> None:
    fault = faults.of_listening(error_of(lambda: listen_at(host, 0)), host, 0)

    assert fault.reason.startswith(reason)


def test_a_port_that_is_taken_is_named_with_a_way_to_find_the_program() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        fault = faults.of_listening(error_of(lambda: listen_at("127.0.0.1", port)), "127.0.0.1", port)

    assert fault.reason == "another program listens there"
    assert f"sport = :{port}" in fault.remedy
