"""A client of one node over HTTP, for commands: one request after another, on one connection.

It uses only the standard library and no event loop. A command asks for a few things and ends, and loading an
asynchronous client would take longer than that work.
"""

import http.client
import ssl
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import SplitResult, urlencode

from node.client.answers import ANSWER_BYTES_MAX, Answer, NodeSummary, refusal
from node.client.conversation import NO_HEADERS, Conversation, Pause, Step
from node.client.errors import Unreachable
from node.client.lines import PIECE_BYTES, LineSplitter
from node.client.targets import authorization_of, check_url, without_password
from node.faults import of_network

_START: Final = "start a node with `dnarc serve`, or name another one by --node URL"

_BROKEN = (OSError, http.client.HTTPException)
_LEFT = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)
"""A node closes a connection after a long pause. The client notices at its next request."""


_T = TypeVar("_T")


class NodeClient:
    """A connection to the node at a URL. The first request opens it.

    `token` is the admin token. `authority` is the PEM file of the authority that must have signed the node's
    certificate; None: the authorities that the system knows. `url` is for people and shows no password.
    """

    def __init__(
        self, url: str, token: str | None = None, timeout_s: float = 60.0, authority: Path | None = None
    ) -> None:
        """Raises: ValueError: this is no URL of a node. SettingsError: the authority cannot be read."""
        parts = check_url(url)
        self.url = without_password(url)
        self._authorization = authorization_of(parts, token)
        self._prefix = parts.path.rstrip("/")
        self._connection = _connect(parts, timeout_s, authority)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """The JSON value at this path. Raises: Unreachable. NodeError: the node refused."""
        return self.ask("GET", path, query).value()

    def read(self, path: str, query: Mapping[str, str] | None, shape: type[_T]) -> _T:
        """The JSON value at this path. Raises: Unreachable: it has another shape. NodeError: the node refused."""
        return self.ask("GET", path, query).read(shape)

    def get_node(self) -> NodeSummary:
        """What the node says of itself. Raises: Unreachable: no dnarc node answers. NodeError: the node refused."""
        return self.read("/node", None, NodeSummary)

    def converse(self, conversation: Conversation[_T], on_pause: Callable[[Pause], None] | None = None) -> _T:
        """Carry out a conversation; returns its result. `on_pause` hears of each pause before it begins.

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
            told = self._take_step(step, on_pause)

    def _take_step(self, step: Step, on_pause: Callable[[Pause], None] | None) -> Answer | Unreachable | None:
        if isinstance(step, Pause):
            if on_pause is not None:
                on_pause(step)
            time.sleep(step.seconds)
            return None
        try:
            return self.ask(step.method, step.path, step.query, step.body, step.headers)
        except Unreachable as error:
            return error

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Answer:
        """Send a request, and read the whole answer, with any status. Raises: Unreachable."""
        response = self._send(method, path, query, body, {"Accept": "application/json", **headers})
        return self._read_whole(response)

    def lines(self, path: str, query: Mapping[str, str] | None = None) -> Generator[bytes, None, None]:
        """The lines of a listing as they come, without line feeds. They take little memory.

        Raises:
            Unreachable: also if the listing breaks off. The lines before that were whole.
            NodeError: the node refused.
        """
        response = self._send("GET", path, query, None, {"Accept": "application/x-ndjson"})
        if response.status >= 300:
            raise refusal(self._read_whole(response))
        try:
            yield from _lines(response)
        except _BROKEN as error:
            raise self._broken_off(error) from error
        finally:
            response.close()
            self._connection.close()

    def _send(
        self, method: str, path: str, query: Mapping[str, str] | None, body: bytes | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        target = self._prefix + path + (f"?{urlencode(query)}" if query else "")
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._authorization is not None:
            headers["Authorization"] = self._authorization
        try:
            return self._request(method, target, body, headers)
        except _BROKEN as error:
            self._connection.close()
            raise self._no_answer(error) from error

    def _no_answer(self, error: Exception) -> Unreachable:
        if isinstance(error, http.client.HTTPException) and not isinstance(error, http.client.RemoteDisconnected):
            return Unreachable(f"no node answers at {self.url}: the answer there is not HTTP")
        fault = of_network(error)
        remedy = _START if isinstance(error, ConnectionRefusedError) else fault.remedy
        is_passing = not isinstance(error, ssl.SSLError)
        return Unreachable(f"no node answers at {self.url}: {fault.reason}", remedy, is_passing=is_passing)

    def _broken_off(self, error: Exception) -> Unreachable:
        match error:
            case http.client.IncompleteRead():
                reason = "the connection was closed before the end of the answer"
            case OSError():
                reason = of_network(error).reason
            case _:
                reason = str(error)
        return Unreachable(
            f"{self.url} broke off: {reason}",
            "run the command again; if it stays so, see the node's log",
            is_passing=True,
        )

    def _request(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        """Send again if the connection was closed during a pause. Every request to a node may be repeated."""
        is_open = self._connection.sock is not None
        try:
            self._connection.request(method, target, body, headers)
            return self._connection.getresponse()
        except _LEFT:
            self._connection.close()
            if not is_open:
                raise
        self._connection.request(method, target, body, headers)
        return self._connection.getresponse()

    def _read_whole(self, response: http.client.HTTPResponse) -> Answer:
        try:
            body = response.read(ANSWER_BYTES_MAX + 1)
            if len(body) <= ANSWER_BYTES_MAX:
                _check_end(response)
        except _BROKEN as error:
            response.close()
            self._connection.close()
            raise self._broken_off(error) from error
        if len(body) > ANSWER_BYTES_MAX:
            response.close()
            self._connection.close()
            raise Unreachable(f"{self.url} answers with more than {ANSWER_BYTES_MAX} bytes: no node does that")
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, body)


def _lines(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """This uses `read1`, because `readline` takes a chunked body for whole if it is cut off between two chunks."""
    splitter = LineSplitter()
    while piece := response.read1(PIECE_BYTES):
        try:
            lines = splitter.feed(piece)
        except ValueError as error:
            raise http.client.HTTPException(str(error)) from error
        yield from lines
    _check_end(response)
    if splitter.rest:
        raise http.client.HTTPException("in the middle of a line")


def _check_end(response: http.client.HTTPResponse) -> None:
    """Raise if the body ended early. A read with a size returns the part that came, and raises nothing."""
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)


def _connect(parts: SplitResult, timeout_s: float, authority: Path | None) -> http.client.HTTPConnection:
    assert parts.hostname is not None, "the URL has a host"
    if parts.scheme == "http":
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
    context = None
    if authority is not None:
        from node.tls import client_context  # here, because it loads the settings, which few commands need

        context = client_context(authority)
    return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout_s, context=context)
