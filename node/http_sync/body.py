"""The body of a peer's answer: read as it comes, with a limit on its bytes and on its duration."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Final

import aiohttp

from node.faults import Cause, of_network
from node.http_sync.answers import LINE_BYTES_MAX, cut_off, printable
from protocol.errors import Code, ProtocolError

BATCH_RECORDS_MAX: Final = 1_000
BATCH_BYTES_MAX: Final = 8 * 2**20
"""What one `PUT /claims` may hold (contract, section 4), and how much of a listing is in memory at once."""

EMPTY_LINES_MAX: Final = 1_000
"""Empty lines in one answer. Without a limit, a listing of nothing else would never end."""

BYTES_PER_SECOND_MIN: Final = 1_024
"""The slowest transfer that is waited for: a body may take the timeout, and 1 s more per this many bytes. A
slower sender holds a connection on purpose.
"""


class Body:
    """The body of one answer. Every method raises `ProtocolError` if the body breaks off or passes a limit."""

    def __init__(self, response: aiohttp.ClientResponse, bytes_max: int, timeout_s: float) -> None:
        """`bytes_max` limits `read_whole`. `timeout_s`: seconds of waiting that are allowed for a body of 0 bytes."""
        self._content = response.content
        self._bytes_max = bytes_max
        self._timeout_s = timeout_s
        self._received_bytes = 0
        self._waited_s = 0.0

    async def read_whole(self) -> bytes:
        parts = []
        while part := await self._read_part():
            parts.append(part)
            if self._received_bytes > self._bytes_max:
                raise cut_off(f"it sent more than {self._bytes_max} bytes in one answer")
        return b"".join(parts)

    async def read_lines(self) -> AsyncGenerator[list[bytes], None]:
        """Non-empty lines as they come, in batches of at most `BATCH_RECORDS_MAX` and of about `BATCH_BYTES_MAX`."""
        lines: list[bytes] = []
        size_bytes, empty_lines, rest = 0, 0, b""
        while part := await self._read_part():
            *whole, rest = (rest + part).split(b"\n")
            for line in filter(None, whole):
                lines.append(line)
                size_bytes += len(line)
            empty_lines += whole.count(b"")
            if empty_lines > EMPTY_LINES_MAX:
                raise cut_off(f"it sent more than {EMPTY_LINES_MAX} empty lines")
            if len(rest) > LINE_BYTES_MAX:
                raise cut_off(f"it sent a line of more than {LINE_BYTES_MAX} bytes")
            if len(lines) >= BATCH_RECORDS_MAX or size_bytes >= BATCH_BYTES_MAX:
                yield lines
                lines, size_bytes = [], 0
        lines += [rest] if rest else []
        if lines:
            yield lines

    async def _read_part(self) -> bytes:
        """The bytes that have come; empty at the end."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        with network_faults():
            part = await self._content.readany()
        self._received_bytes += len(part)
        self._waited_s += loop.time() - begun_s
        if self._waited_s > self._timeout_s + self._received_bytes / BYTES_PER_SECOND_MIN:
            raise cut_off(f"it sends less than {BYTES_PER_SECOND_MIN} bytes a second")
        return part


@contextmanager
def network_faults() -> Iterator[None]:
    """Turns every failure of a connection into `unreachable`. Only network calls may stand in the block."""
    try:
        yield
    except (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, OSError, ValueError) as error:
        raise ProtocolError(Code.UNREACHABLE, f"the connection failed: {_fault_of(error)}") from error


def _fault_of(error: Exception) -> Cause:
    """The library has errors of its own for a closed connection and for an answer that is not HTTP."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return of_network(ConnectionResetError())
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.http_exceptions.HttpProcessingError):
        return Cause("the answer there is not HTTP", "check the URL: its port may speak TLS, or another protocol")
    fault = of_network(error)
    return Cause(printable(fault.reason), fault.remedy)
