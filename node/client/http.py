"""A client of one node over HTTP, for commands: one request after another, on one connection.

It uses only the standard library and no event loop. A command asks for a few things and ends, and loading an
asynchronous client would take longer than that work.
"""

import base64
import contextlib
import http.client
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self, TypeVar
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

import msgspec

from node.faults import of_network
from protocol.errors import Code, ProtocolError
from protocol.records.record import SignedRecord, decode_signed

LINE_BYTES_MAX: Final = 2**20
"""A line of a listing holds one record of at most 64 KiB in canonical bytes. No node sends a longer line."""

ANSWER_BYTES_MAX: Final = 256 * 2**20
"""The limit for an answer that is read whole, for example the history of a label."""

_PIECE_BYTES: Final = 65_536

_START: Final = "start a node with `dnarc serve`, or name another one by --node URL"

_BROKEN = (OSError, http.client.HTTPException)
_LEFT = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)
"""A node closes a connection after a long pause. The client notices at its next request."""


_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

_T = TypeVar("_T")

Target = tuple[str, dict[str, str]]
"""The path and the query of a request."""


class Unreachable(Exception):  # noqa: N818 - the word for the state, as in `Code.UNREACHABLE`
    """No node answers there, or it stopped in the middle of an answer. The text is the reason, `remedy` what to do."""

    def __init__(self, reason: str, remedy: str = "check that the URL is that of a dnarc node") -> None:
        super().__init__(reason)
        self.remedy = remedy


class NodeError(Exception):
    """The request was refused: a stable `code`, what the node says of it, and the facts beside that.

    `remedy` is None if the node itself answered. If another program did, such as a proxy, it says what to do.
    """

    def __init__(self, status: int, code: str, detail: str, facts: dict[str, Any], remedy: str | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.facts = facts
        self.remedy = remedy


class Answer(msgspec.Struct, frozen=True):
    """A whole answer. The names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def value(self) -> Any:
        """The JSON value in the body. Raises: NodeError: the node refused. Unreachable: the body is no JSON."""
        self.check()
        return _decode(self.body)

    def check(self) -> None:
        """Raises: NodeError: the status does not mean success."""
        if self.status >= 300:
            raise refusal(self)

    @property
    def retry_after_s(self) -> float | None:
        """How many seconds the node asks us to wait; None if it does not ask."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isdecimal() else None


class Held(msgspec.Struct, frozen=True):
    """What a node holds of one domain. `newest` is a timestamp, None if there are no records."""

    count: int
    fingerprint: str
    newest: int | None = None


class Limits(msgspec.Struct, frozen=True):
    """Limits of a node that a client must keep to. `max_skew` is in seconds, None: a record may be of any time."""

    max_skew: int | None = None


class NodeSummary(msgspec.Struct, frozen=True):
    """The answer to `GET /node`. Times are seconds since the Unix epoch. `instance` is what the node drew at its start;
    empty if an older node does not say it.
    """

    version: str
    node: str
    started: int
    time: int
    domains: dict[str, Held]
    limits: Limits = Limits()
    instance: str = ""


def without_password(url: str) -> str:
    """The URL without the name and the password in it, so that errors and logs do not show them."""
    names = urlsplit(url).netloc
    return url.replace(f"//{names}", f"//{names.rpartition('@')[2]}", 1)


def refusal(answer: Answer) -> NodeError:
    """The problem (RFC 9457) in an answer. An answer without a problem is told by its status."""
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
        facts = msgspec.json.decode(answer.body, type=dict[str, Any])
        code, detail = facts.pop("code", None), facts.pop("detail", None)
        if isinstance(code, str) and isinstance(detail, str):
            return NodeError(answer.status, code, detail, facts)
    detail, remedy = _foreign(answer.status, answer.headers.get("location", ""))
    return NodeError(answer.status, f"http_{answer.status}", detail, {}, remedy)


def _foreign(status: int, location: str) -> tuple[str, str]:
    """What an answer with this status means if another program than a node gave it, and what to do."""
    match status:
        case 301 | 302 | 303 | 307 | 308:
            return f"the URL redirects to {location or 'another one'}", "name that URL by --node"
        case 401:
            return "a program in front of the node asks for a password", "write it into the URL: http://NAME:WORD@HOST"
        case 403:
            return "a program in front of the node forbids this request", "look at the rules of that proxy"
        case 404 | 405:
            return "no dnarc node answers at this URL", "check host, port and path: a proxy may serve it below a path"
        case 413:
            return "a program in front of the node takes no body of this size", "raise the limit of that proxy to 8 MiB"
        case 502 | 503 | 504:
            return "a proxy answers, and the node behind it does not", "start that node, or check the proxy's upstream"
    return f"no dnarc node answers at this URL (status {status})", "check host, port and path of the URL"


def path_of(*parts: str) -> str:
    """The path with these parts. Each part is quoted, so it may hold `/` and every other character."""
    return "".join("/" + quote(part.encode(errors="surrogatepass"), safe="") for part in parts)


def head_of(domain: str, label: str) -> Target:
    """Where a node shows the head of a label."""
    if _needs_query(label):
        return path_of("claims", domain), {"label": label}
    return path_of("claims", domain, label), {}


def proof_of(domain: str, label: str) -> Target:
    """Where a node shows the proof of a label's newest final record."""
    if _needs_query(label):
        return "/proof", {"domain": domain, "label": label}
    return path_of("claims", domain, label, "proof"), {}


def history_of(domain: str, label: str) -> Target:
    """Where a node shows the history of a label."""
    if _needs_query(label):
        return "/history", {"domain": domain, "label": label}
    return path_of("claims", domain, label, "history"), {}


def _needs_query(label: str) -> bool:
    """Whether a URL parser or a proxy may change the label in a path: they fold dots and decode slashes."""
    return label in (".", "..") or "/" in label or "\\" in label


def signed_records(body: bytes) -> list[SignedRecord]:
    """The records of a dict of claims, `{signature: record}`. Their signatures are not verified.

    Raises:
        ProtocolError: this is no dict of claims, or one of its values is no record.
    """
    try:
        entries = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(Code.MALFORMED, f"this is no dict of claims: {error}") from error
    return [decode_signed(signature, bytes(raw)) for signature, raw in entries.items()]


class _Line(msgspec.Struct, frozen=True):
    signature: str
    record: msgspec.Raw


def signed_record_of_line(line: bytes) -> SignedRecord:
    """The record in a line of a listing, `{signature, record}`. Its signature is not verified.

    Raises:
        ProtocolError: this is no line of a listing, or it holds no record.
    """
    try:
        read = msgspec.json.decode(line, type=_Line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(Code.MALFORMED, f"not a line of {{signature, record}}: {error}") from error
    return decode_signed(read.signature, bytes(read.record))


class NodeClient:
    """A connection to the node at a URL. The first request opens it.

    `token` is the admin token. `authority` is the PEM file of the authority that must have signed the node's
    certificate; None: the authorities that the system knows. `url` is for people and shows no password.
    """

    def __init__(
        self, url: str, token: str | None = None, timeout_s: float = 60.0, authority: Path | None = None
    ) -> None:
        """Raises: ValueError: this is no URL of a node. SettingsError: the authority cannot be read."""
        parts = _checked(url)
        self.url = without_password(url)
        self._authorization = _authorization_of(parts, token)
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
        answer = self.ask("GET", path, query)
        answer.check()
        try:
            return msgspec.json.decode(answer.body, type=shape)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Unreachable(f"{self.url} does not answer as a node does: {error}") from error

    def get_node(self) -> NodeSummary:
        """What the node says of itself. Raises: Unreachable: no dnarc node answers. NodeError: the node refused."""
        answer = self.ask("GET", "/node")
        answer.check()
        try:
            return msgspec.json.decode(answer.body, type=NodeSummary)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Unreachable(f"{self.url} does not answer as a node does") from error

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
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
        return Unreachable(f"no node answers at {self.url}: {fault.reason}", remedy)

    def _broken_off(self, error: Exception) -> Unreachable:
        match error:
            case http.client.IncompleteRead():
                reason = "the connection was closed before the end of the answer"
            case OSError():
                reason = of_network(error).reason
            case _:
                reason = str(error)
        return Unreachable(
            f"{self.url} broke off: {reason}", "run the command again; if it stays so, see the node's log"
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
    rest = b""
    while piece := response.read1(_PIECE_BYTES):
        *lines, rest = (rest + piece).split(b"\n")
        if len(lines[0] if lines else rest) > LINE_BYTES_MAX:  # every other line is within this piece, which is shorter
            raise http.client.HTTPException(f"a line has more than {LINE_BYTES_MAX} bytes")
        yield from lines
    _check_end(response)
    if rest:
        raise http.client.HTTPException("in the middle of a line")


def _check_end(response: http.client.HTTPResponse) -> None:
    """Raise if the body ended early. A read with a size returns the part that came, and raises nothing."""
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)


def _checked(url: str) -> SplitResult:
    """The parts of a node's URL. Raises: ValueError: this is no URL of a node. The text says what to write instead."""
    parts, shown = urlsplit(url), without_password(url)
    if "://" not in url:
        raise ValueError(f"{shown} has no scheme: write http://{shown} or https://{shown}")
    if parts.scheme in ("ws", "wss"):
        raise ValueError(f"{shown} is for links, and commands ask over HTTP: write {shown.replace('ws', 'http', 1)}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{shown} is no URL of a node: write http://HOST:PORT or https://HOST:PORT")
    try:
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"{shown} has a port that is no number from 0 to 65535") from error
    return parts


def _connect(parts: SplitResult, timeout_s: float, authority: Path | None) -> http.client.HTTPConnection:
    assert parts.hostname is not None, "the URL has a host"
    if parts.scheme == "http":
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
    context = None
    if authority is not None:
        from node.tls import client_context  # here, because it loads the settings, which few commands need

        context = client_context(authority)
    return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout_s, context=context)


def _authorization_of(parts: SplitResult, token: str | None) -> str | None:
    """The header by the admin token, or else by the name and the password in the URL (RFC 7617)."""
    if token is not None:
        return f"Bearer {token}"
    if parts.username is None:
        return None
    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreachable("the answer is no JSON") from error
