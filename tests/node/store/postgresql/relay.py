"""A relay between a store and its server, which can cut a connection, be silent, or look like a pooler."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

SOCKET: Final = ".s.PGSQL.5432"

Filter = Callable[[bytes], bytes | None]
"""What is passed on in the place of these bytes. None: the connection is cut."""

_KEY: Final = re.compile(rb"K\x00\x00\x00\x0c(.{4})", re.DOTALL)
"""The message in which a server tells its process number (BackendKeyData)."""


def as_it_is(data: bytes) -> bytes | None:
    return data


def with_a_number_of_its_own(data: bytes) -> bytes | None:
    """As a pooler does, because a client has no fixed process of the server behind it."""
    return _KEY.sub(lambda found: found[0][:5] + b"\x00\x00\x00\x07", data)


class CutAtCommit:
    """Cuts a connection at its first COMMIT: before the server gets it, or when the server has carried it out."""

    def __init__(self, *, is_stored: bool) -> None:
        self._is_stored = is_stored
        self._is_armed = self._is_committing = False

    def arm(self) -> None:
        self._is_armed = True

    def to_server(self, data: bytes) -> bytes | None:
        if not self._is_armed or b"COMMIT;" not in data:
            return data
        self._is_armed, self._is_committing = False, True
        return data if self._is_stored else None

    def to_client(self, data: bytes) -> bytes | None:
        return None if self._is_committing and not self._is_armed and self._ends() else data

    def _ends(self) -> bool:
        self._is_committing = False
        return self._is_stored


class Network:
    """Between a process and its server. While it is cut, all that either side sends waits, also the end of a
    connection, and nobody is told.
    """

    def __init__(self, *, is_open_to_others: bool = False) -> None:
        """`is_open_to_others`: a cut does not concern the connections that are opened later."""
        self.way = _open_way()
        self.cut_at: bytes | None = None
        """It is cut when the process sends this."""
        self.is_cut = asyncio.Event()
        self._cut = self.way
        self._is_open_to_others = is_open_to_others

    def cut(self) -> None:
        self.is_cut.set()
        self._cut = self.way
        self._cut.clear()
        if self._is_open_to_others:
            self.way = _open_way()

    def mend(self) -> None:
        self._cut.set()

    def way_of_next(self) -> asyncio.Event:
        """The way of a connection that begins now. It is set while it is open."""
        return self.way

    def to_server(self, data: bytes) -> bytes | None:
        if self.cut_at is not None and self.cut_at in data:
            self.cut_at = None
            self.cut()
        return data


class FirstOnly(Network):
    """Only the first connection gets through to the server. `is_held` is set when a second one begins."""

    def __init__(self) -> None:
        super().__init__()
        self.is_held = asyncio.Event()
        self._has_begun = False

    def way_of_next(self) -> asyncio.Event:
        if not self._has_begun:
            self._has_begun = True
            return self.way
        self.is_held.set()
        return asyncio.Event()


def _open_way() -> asyncio.Event:
    way = asyncio.Event()
    way.set()
    return way


@asynccontextmanager
async def relayed(
    server: Path, to_server: Filter = as_it_is, to_client: Filter = as_it_is, network: Network | None = None
) -> AsyncIterator[Path]:
    """The folder of a socket that leads to the server with this folder, over this network."""
    network = network or Network()
    folder = Path(mkdtemp(prefix="dnarc-relay-"))
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        way = network.way_of_next()
        server_reader, server_writer = await asyncio.open_unix_connection(str(server / SOCKET))

        def cut() -> None:
            for each in (writer, server_writer):
                each.transport.abort()

        for source, target, change in ((reader, server_writer, to_server), (server_reader, writer, to_client)):
            tasks.add(asyncio.create_task(_pump(source, target, change, way, cut)))

    listener = await asyncio.start_unix_server(serve, folder / SOCKET)
    try:
        yield folder
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        shutil.rmtree(folder)


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    change: Filter,
    way: asyncio.Event,
    cut: Callable[[], None],
) -> None:
    try:
        while data := await reader.read(65_536):
            changed = change(data)
            if changed is None:
                break
            await way.wait()
            writer.write(changed)
            await writer.drain()
        await way.wait()
    except OSError:
        pass
    finally:
        cut()
