"""Sessions with the server: how they are opened, and what their errors mean.

The URL is that of libpq (https://www.postgresql.org/docs/current/libpq-connect.html), so the password may also come
from PGPASSWORD, from a password file or from a service file. A name in its query that libpq does not know is a setting
of the session: `?search_path=dnarc` keeps everything in the schema `dnarc`.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import asyncpg
import msgspec

from node.store.contract import StoreError
from node.store.outage import Failure

CONNECT_TIMEOUT_S: Final = 10.0
"""How long a connection may take to open."""

STATEMENT_TIMEOUT_S: Final = 30.0
"""How long one statement may take. Our statements take less than a second, so a longer one waits for a lock."""

_COMMAND_TIMEOUT_S: Final = STATEMENT_TIMEOUT_S + 5.0
"""How long this side waits for the end of a statement, in case that the server is cut off without a word."""

VERSION_MIN: Final = 14
"""The oldest server that ends sessions whose other end is gone by itself (`idle_session_timeout`)."""


class Silence(msgspec.Struct, frozen=True):
    """How long a process and its server may hear nothing of each other, in seconds. Tests have less time.

    `session_s`: then the server ends the session of the writer, so that another process can take over. Within a
    transaction it waits half as long. `answer_s`: how long the server may take to say that it is there.
    """

    session_s: float = 6.0
    answer_s: float = 5.0

    @property
    def beat_s(self) -> float:
        """How often the session of the writer says that it is alive."""
        return self.session_s / 3

    def settings(self) -> dict[str, str]:
        """The settings of the writer's session."""
        return {
            "idle_session_timeout": _ms(self.session_s),
            "idle_in_transaction_session_timeout": _ms(self.session_s / 2),  # a stopped writer frees its rows
            "client_connection_check_interval": "1000",
            "tcp_user_timeout": _ms(self.session_s),
        }


SILENCE: Final = Silence()

_KEEPALIVE: Final = (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 12_000))
"""After 12 s without a sign of the other machine, the kernel ends the connection. All but the last are in seconds."""

_EVERY_SESSION: Final = {
    "application_name": "dnarc",
    "statement_timeout": f"{STATEMENT_TIMEOUT_S * 1_000:.0f}",
    "max_parallel_workers_per_gather": "0",  # a page of heads is read in 100 ms without, and in more with workers
    "enable_seqscan": "off",  # all our reads have an index; a server that does not know a new table yet would scan it
    "jit": "off",  # it compiles for longer than our statements run
}

_PASSES: Final = ("08", "53", "57P", "57014", "40", "55P03", "25006", "25P03")
"""How the SQLSTATE of an error begins that passes by itself: the connection is lost, the server lacks something, starts
or ends, somebody waited too long for a lock, or the server is a replica that may become the primary.
"""

_REASONS: Final = {
    "53100": ("the server's disk is full", "free space on the server"),
    "53300": ("the server has no connection left", "raise max_connections, or end other programs"),
    "25006": ("the server takes no writes", "name the primary server: this one is a replica"),
    "28P01": ("the server refuses the password", "set it in the URL, in PGPASSWORD or in ~/.pgpass"),
    "28000": ("the server refuses this user", "allow it in pg_hba.conf, or name another user in the URL"),
    "3D000": ("the database is missing", "make it: createdb NAME"),
    "3F000": ("the schema is missing", "make it: CREATE SCHEMA NAME"),
    "42501": ("the user may not do that", "GRANT CREATE, USAGE ON SCHEMA to the user, or make the user its owner"),
    "57P03": ("the server is starting or stopping", "wait until it answers"),
    "57014": (
        f"a statement took longer than {STATEMENT_TIMEOUT_S:.0f} s",
        "see in pg_stat_activity who holds a lock",
    ),
}


def _ms(seconds: float) -> str:
    return f"{seconds * 1_000:.0f}"


def failure_of(error: StoreError) -> Failure:
    """The error as an outage tells it."""
    return Failure(str(error), error.remedy)


class AwayError(StoreError):
    """The server cannot be used now, and may be used again later. A statement that failed so may be repeated."""


async def connect(url: str, writer: Silence | None = None) -> asyncpg.Connection:
    """Open a session. `writer`: one that may write for a node, and how long it may be silent.

    Raises:
        StoreError: the server cannot be reached, or cannot be used.
    """
    connection = await _connect(url, _EVERY_SESSION | ({} if writer is None else writer.settings()))
    try:
        with explained(url):
            await _check(connection, is_writer=writer is not None)
    except BaseException:
        await connection.close()
        raise
    return connection


async def connect_reader(url: str) -> asyncpg.Connection:
    """Open a session that cannot write.

    Raises:
        StoreError: as `connect`.
    """
    return await _connect(url, _EVERY_SESSION | {"default_transaction_read_only": "on"})


async def _connect(url: str, settings: dict[str, str]) -> asyncpg.Connection:
    with explained(url):
        connection = await asyncpg.connect(
            url, timeout=CONNECT_TIMEOUT_S, command_timeout=_COMMAND_TIMEOUT_S, server_settings=settings
        )
    # The driver has no setting for that (https://github.com/MagicStack/asyncpg/issues/606).
    watch_for_silence(connection._transport.get_extra_info("socket"))  # type: ignore[attr-defined]
    return connection


def watch_for_silence(connected: socket.socket) -> None:
    """Let the kernel end the connection if the network is cut: see `_KEEPALIVE`. It would do so after 15 minutes.

    Other systems than Linux know some of the options. A Unix socket needs none.
    """
    if connected.family != socket.AF_UNIX:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if hasattr(socket, name):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def _check(connection: asyncpg.Connection, *, is_writer: bool) -> None:
    """Raises: StoreError: the server or the schema does not fit."""
    if connection.get_server_version().major < VERSION_MIN:
        version = await connection.fetchval("SHOW server_version")
        raise StoreError(f"the server is PostgreSQL {version}", f"dnarc needs PostgreSQL {VERSION_MIN} or later")
    row = await connection.fetchrow(
        "SELECT pg_backend_pid(), current_setting('server_encoding'), current_schema(), pg_is_in_recovery()"
    )
    assert row is not None, "a SELECT without FROM has one row"
    process, encoding, schema, is_replica = row
    if process != connection.get_server_pid():  # a pooler tells clients a number of its own
        raise StoreError(
            "a pooler stands in front of the server, and could give one lock to two writers",
            "name the server itself in the URL",
        )
    if encoding != "UTF8":
        raise StoreError(
            f"the database has the encoding {encoding}", "make one with UTF8: createdb -E UTF8 -T template0"
        )
    if schema is None:
        raise StoreError("the schema in `search_path` is missing", "make it: CREATE SCHEMA NAME")
    if is_writer and is_replica:
        raise AwayError("the server is a replica, which takes no writes", "name the primary server")


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn the errors of the driver into `StoreError`. The message names the server, and never the password."""
    try:
        yield
    except asyncpg.PostgresError as error:
        code = error.sqlstate or ""
        reason, remedy = _REASONS.get(code, (str(error), "see the server's log"))
        kind = AwayError if code.startswith(_PASSES) else StoreError
        raise kind(f"{place_of(url)}: {reason}", remedy) from error
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        if isinstance(error, asyncpg.DataError):
            raise  # a fault of ours: a value that the server cannot hold
        reason = str(error) or "it did not answer in time"
        raise AwayError(
            f"{place_of(url)}: {reason}", "see whether the server runs, and whether the URL is right"
        ) from error


def place_of(url: str) -> str:
    """The servers and the database of a URL, without user and password."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2] or "the local server"
    return f"PostgreSQL at {hosts}{parts.path}"
