"""The relay of a process that follows: it passes requests on to the writer, whole, and brings the answers back.

Nothing is decided here but whether there is a writer. If the writer ends while a request is on its way, nobody knows
what became of the request. So its client is asked to send it again: a record that was taken is known then.
"""

from collections.abc import Mapping
from typing import Final

import aiohttp
import msgspec
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from node.fairness.crowd import Crowd
from node.fleet import passport
from node.fleet.errands import Errands, no_writer
from node.fleet.passport import Passport
from node.fleet.standing import Standing
from node.settings.settings import Settings
from node.tls import client_context
from node.world import World

COMMIT_HEADER: Final = "Dnarc-Commit"
"""On an answer to a request that was passed on: the number of the writer's last commit."""

ANSWER_BYTES_MAX: Final = 16 * 2**20
"""Bytes of an answer. That to a batch has about 1 MiB."""

CONNECT_S_MAX: Final = 2.0

_ANSWER_S_MAX: Final = 60.0
"""Seconds without a byte of the answer. A client may wait 30 s for the witnesses."""

_SYNC_ANSWER_S_MAX: Final = 3_600.0
"""The same for a sync, which answers when it is done."""

_DROPPED: Final = frozenset(
    "connection content-length expect host keep-alive proxy-authenticate proxy-authorization proxy-connection te "
    "trailer transfer-encoding upgrade "
    "sec-websocket-extensions sec-websocket-key sec-websocket-protocol sec-websocket-version "
    f"{passport.HEADER}".lower().split()
)
"""Headers of one connection (RFC 9110, section 7.6.1; RFC 6455, section 11.3), and the passport, which no client may
bring along."""


class Call(msgspec.Struct, frozen=True):
    """One request to pass on. `target` is the path with the query as the client sent it. `may_wait`: its answer may
    wait for a race.
    """

    method: str
    target: str
    headers: "CIMultiDict[str]"
    body: bytes
    caller: Passport
    may_wait: bool


class Answer(msgspec.Struct, frozen=True):
    """The writer's answer. `commit` is the number of its last commit, 0 if it does not say."""

    status: int
    headers: "CIMultiDict[str]"
    body: bytes
    commit: int


class Relay:
    """Passes requests on to the writer."""

    def __init__(self, settings: Settings, world: World, standing: Standing, crowd: Crowd) -> None:
        """`crowd` counts the work of strangers in this process."""
        places_max = max(4, settings.connections_max // 8)  # together the share of an address, which the writer sees
        self.errands = Errands(standing, requests_max=places_max, links_max=places_max, crowd=crowd)
        self._authority = settings.tls_ca
        self._world = world
        self._secret = standing.secret
        self._session: aiohttp.ClientSession | None = None

    async def send(self, call: Call) -> Answer:
        """The writer's answer.

        Raises:
            ProtocolError: `overloaded`: there is no writer, it has gone meanwhile, or too many requests are on
                their way.
        """
        try:
            answer = await self.errands.run(self._send(call), call.caller.address, may_wait=call.may_wait)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.errands.results["failed"] += 1
            raise no_writer() from error
        self.errands.results["answered"] += 1
        return answer

    def headers_of(self, method: str, target: str, headers: "CIMultiDict[str]", caller: Passport) -> "CIMultiDict[str]":
        """The headers for the writer: those of the message, and the passport of its caller."""
        passed_on = carried(headers)
        passed_on[passport.HEADER] = passport.seal(self._secret, method, target, caller, self._world.now_s())
        return passed_on

    def session(self) -> aiohttp.ClientSession:
        """The connections to the writer."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S_MAX, sock_read=_ANSWER_S_MAX)
            self._session = aiohttp.ClientSession(
                timeout=timeout,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=aiohttp.TCPConnector(limit=0, ssl=client_context(self._authority)),
            )
        return self._session

    async def close(self) -> None:
        await self.errands.close()
        if self._session is not None:
            await self._session.close()

    async def _send(self, call: Call) -> Answer:
        headers = self.headers_of(call.method, call.target, call.headers, call.caller)
        url = URL(f"{self.errands.writer()}{call.target}", encoded=True)
        read_s = _SYNC_ANSWER_S_MAX if call.target.startswith("/sync/") else _ANSWER_S_MAX
        async with self.session().request(
            call.method,
            url,
            headers=headers,
            data=call.body or None,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S_MAX, sock_read=read_s),
        ) as response:
            body = await _read(response)
            commit = response.headers.get(COMMIT_HEADER, "0")
            return Answer(response.status, carried(response.headers), body, int(commit) if commit.isdigit() else 0)


def carried(headers: "Mapping[str, str] | CIMultiDictProxy[str]") -> "CIMultiDict[str]":
    """The headers that are passed on: those of the message, and not those of its way."""
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _DROPPED)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body of an answer. Raises: ClientPayloadError: it is too long."""
    pieces: list[bytes] = []
    size_bytes = 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size_bytes += len(piece)
        if size_bytes > ANSWER_BYTES_MAX:
            raise aiohttp.ClientPayloadError("the answer is too long")
    return b"".join(pieces)
