"""Answers of a node over HTTP: what the status, the headers and the body say."""

import contextlib
from typing import Any, Final, TypeVar

import msgspec

from node.client.errors import NodeError, Unreachable
from protocol.errors import Code, ProtocolError
from protocol.records.record import SignedRecord, decode_signed

LINE_BYTES_MAX: Final = 2**20
"""A line of a listing holds one record of at most 64 KiB in canonical bytes. No node sends a longer line."""

ANSWER_BYTES_MAX: Final = 256 * 2**20
"""The limit for an answer that is read whole, for example the history of a label."""

_T = TypeVar("_T")


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

    def read(self, shape: type[_T]) -> _T:
        """The JSON value in the body. Raises: NodeError: the node refused. Unreachable: it has another shape."""
        self.check()
        try:
            return msgspec.json.decode(self.body, type=shape)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Unreachable(f"what answers there does not answer as a node does: {error}") from error

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


def refusal(answer: Answer) -> NodeError:
    """The problem (RFC 9457) in an answer. An answer without a problem is described by its status."""
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
        facts = msgspec.json.decode(answer.body, type=dict[str, Any])
        code, detail = facts.pop("code", None), facts.pop("detail", None)
        if isinstance(code, str) and isinstance(detail, str):
            return NodeError(answer.status, code, detail, facts)
    detail, remedy = _foreign(answer.status, answer.headers.get("location", ""))
    return NodeError(answer.status, f"http_{answer.status}", detail, {}, remedy)


def _foreign(status: int, location: str) -> tuple[str, str]:
    """What an answer with this status means if it comes from a program that is not a node, and what to do."""
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


def signed_records(body: bytes) -> list[SignedRecord]:
    """The records of a dict of claims, `{signature: record}`. Their signatures are not verified.

    Raises:
        ProtocolError: this is not a dict of claims, or one of its values is not a record.
    """
    try:
        entries = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(Code.MALFORMED, f"this is not a dict of claims: {error}") from error
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


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreachable("the answer is no JSON") from error
