"""The asynchronous connection of a client to one node, on aiohttp.

It carries out conversations, and reads listings line by line. Every request has a limit on its time and on its size.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from node.client.answers import ANSWER_BYTES_MAX, Answer, refusal
from node.client.conversation import NO_HEADERS, Conversation, Pause, Request, Step
from node.client.errors import Unreachable
from node.client.lines import PIECE_BYTES, LineSplitter
from node.client.targets import authorization_of, check_url, without_password
from node.faults import of_network

CONNECTIONS_MAX: Final = 100
"""Connections to the node at once. Past this, a request waits until another ends. Each watch holds one connection."""

_BROKEN: Final = (aiohttp.ClientError, OSError, TimeoutError, ValueError)
"""`ValueError` is what aiohttp raises for some answers that are no HTTP, and we for a line that is too long."""

_T = TypeVar("_T")


class Transport:
    """Connections to the node at a URL. The first request opens one. `url` is for people and shows no password."""

    def __init__(self, url: str, token: str | None, authority: Path | None, timeout_s: float) -> None:
        """`timeout_s`: how long a connection may take to open, and how long the node may be silent.

        Raises:
            ValueError: this is no URL of a node. SettingsError: the authority cannot be read.
        """
        parts = check_url(url)
        authorization = authorization_of(parts, token)
        host = parts.netloc.rpartition("@")[2]
        self.url = without_password(url)
        self._base = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        self._headers = {} if authorization is None else {"Authorization": authorization}
        self._tls = _tls_of(authority)
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections. A later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def converse(self, conversation: Conversation[_T]) -> _T:
        """Carry out a conversation; returns its result.

        Raises:
            ClientError: as the conversation says.
        """
        told: Answer | Unreachable | None = None
        while True:
            try:
                step = conversation.throw(told) if isinstance(told, Unreachable) else conversation.send(told)
            except StopIteration as end:
                result: _T = end.value
                return result
            told = await self._take_step(step)

    async def _take_step(self, step: Step) -> Answer | Unreachable | None:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        try:
            return await self.ask(step)
        except Unreachable as error:
            return error

    async def ask(self, request: Request) -> Answer:
        """The whole answer to a request, with any status. Raises: Unreachable."""
        async with self._open(request, {"Accept": "application/json"}) as response:
            return await self._read_whole(response)

    async def lines(self, path: str, query: Mapping[str, str] = NO_HEADERS) -> AsyncGenerator[bytes, None]:
        """The lines of a listing or of a stream as they come, without line feeds.

        Raises:
            Unreachable: also if the answer breaks off, or the node is silent for too long.
            NodeError: the node refused.
        """
        async with self._open(Request("GET", path, query), {"Accept": "application/x-ndjson"}) as response:
            if response.status >= 300:
                raise refusal(await self._read_whole(response))
            splitter = LineSplitter()
            async for piece in response.content.iter_chunked(PIECE_BYTES):
                for line in splitter.feed(piece):
                    yield line
            if splitter.rest:
                raise Unreachable(f"{self.url} broke off in the middle of a line", is_passing=True)

    @asynccontextmanager
    async def _open(self, request: Request, headers: dict[str, str]) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """The response to a request. The connection of a response that is not read to its end is closed."""
        timeout_s = self._timeout_s + request.wait_s
        try:
            async with self._opened().request(
                request.method,
                self._url_of(request),
                data=request.body,
                headers=headers | dict(request.headers),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeout_s, sock_read=timeout_s),
                allow_redirects=False,
            ) as response:
                yield response
        except _BROKEN as error:
            raise self._unreachable(error) from error

    def _url_of(self, request: Request) -> URL:
        """The URL, spelled as it is: the library would change the quoting of a label."""
        query = f"?{urlencode(request.query)}" if request.query else ""
        return URL(f"{self._base}{request.path}{query}", encoded=True)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX, ssl=self._tls)
            self._session = aiohttp.ClientSession(connector=connector, headers=self._headers, auto_decompress=False)
        return self._session

    async def _read_whole(self, response: aiohttp.ClientResponse) -> Answer:
        pieces, size_bytes = [], 0
        async for piece in response.content.iter_chunked(PIECE_BYTES):
            size_bytes += len(piece)
            if size_bytes > ANSWER_BYTES_MAX:
                raise Unreachable(f"{self.url} answers with more than {ANSWER_BYTES_MAX} bytes: no node does that")
            pieces.append(piece)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, headers, b"".join(pieces))

    def _unreachable(self, error: BaseException) -> Unreachable:
        fault = of_network(error)
        is_passing = not isinstance(error, ssl.SSLError | aiohttp.ClientSSLError | aiohttp.InvalidURL | ValueError)
        return Unreachable(f"no node answers at {self.url}: {fault.reason}", fault.remedy, is_passing=is_passing)


def _tls_of(authority: Path | None) -> ssl.SSLContext | bool:
    """What is demanded of the certificate of the node. True: an authority that the system knows has signed it."""
    if authority is None:
        return True
    from node.tls import client_context  # here, because it loads the settings of a node

    return client_context(authority)
