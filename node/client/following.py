"""Follow the events of a node from outside, over any number of connections. A cursor resumes the stream.

The stream consists of Server-Sent Events (WHATWG HTML, section 9.2). These are lines, so the blocking client reads
them; a command that waits for events has nothing else to do. The first line of a stream holds the cursor at which it
begins, so that a connection that ends before its first event misses nothing.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final
from urllib.parse import urlencode

import msgspec

from node.client.conversation import PASSING, Backoff
from node.client.errors import ClientError, NodeError, Unreachable
from node.client.http import NodeClient
from protocol.errors import Code, ProtocolError
from protocol.records.record import SignedRecord, decode_signed

PATH: Final = "/events"

_FIELDS: Final = frozenset({b"", b"id", b"event", b"data", b"retry"})


class NoNode(Unreachable):
    """What answers there is no node, so that another connection would change nothing."""


class Goodbye(Unreachable):
    """The node ended the stream. Another connection goes on after the last event."""


class NodeEvent(msgspec.Struct, frozen=True):
    """An event in the stream of a node (section 6 of the protocol). `line` is its JSON as it came."""

    seq: int
    cursor: str
    type: str
    domain: str
    label: str
    id: str
    signature: str
    record: msgspec.Raw
    previous: str | None = None
    reason: str | None = None
    line: bytes = b""

    def signed(self) -> SignedRecord:
        """The record, verified. Raises: ProtocolError: `bad_signature` or `malformed`: nobody signed this record."""
        signed = decode_signed(self.signature, bytes(self.record))
        record = signed.record
        if (record.id, record.domain, record.label) != (self.id, self.domain, self.label) or not signed.is_genuine():
            raise ProtocolError(Code.BAD_SIGNATURE, f"the node shows a record that nobody signed: {self.id}")
        return signed


class EventReader:
    """Reads the lines of a stream of events, over any number of connections that follow each other.

    `cursor` is where the next connection begins; None before the first line that holds a cursor. `names` are pairs
    (`domain` or `label`, name) that select events; empty: all events. A repeated event is left out.
    """

    def __init__(self, names: Sequence[tuple[str, str]], since: str | None) -> None:
        self.cursor = since
        self._names = list(names)
        self._fields: dict[bytes, bytes] = {}
        self._last_seq = 0

    def target(self) -> str:
        """The path and the query of the next connection, which begins after the last event that was read."""
        self._fields = {}
        query = self._names + ([] if self.cursor is None else [("since", self.cursor)])
        return f"{PATH}?{urlencode(query)}" if query else PATH

    def read(self, line: bytes) -> NodeEvent | None:
        """The event that this line completes; None if there is none.

        An empty line ends a block of fields.

        Raises:
            NoNode: the line is not from a node's stream. Goodbye: the node ends the stream.
        """
        if line:
            name, _, value = line.partition(b": ")
            if name not in _FIELDS:
                raise NoNode("what answers there sends no events as a node does")
            self._fields[name] = value
            return None
        fields, self._fields = self._fields, {}
        if fields.get(b"event") == b"close":
            self._keep_cursor(fields)
            raise Goodbye("the node ended the stream", is_passing=True)
        event = _decode_event(fields[b"data"]) if b"data" in fields else None
        self._keep_cursor(fields)
        if event is None or event.seq <= self._last_seq:
            return None
        self._last_seq = event.seq
        return event

    def _keep_cursor(self, fields: dict[bytes, bytes]) -> None:
        if b"id" in fields:
            self.cursor = fields[b"id"].decode(errors="replace")


def is_passing(error: ClientError) -> bool:
    """Whether the next connection may succeed after this one ended."""
    if isinstance(error, NodeError):
        return error.status in PASSING
    return isinstance(error, Unreachable) and not isinstance(error, NoNode)


def asked_wait_s(error: ClientError) -> float | None:
    """How many seconds the node asks us to wait before the next connection; None if it does not ask."""
    asked = error.facts.get("retry_after") if isinstance(error, NodeError) else None
    return float(asked) if isinstance(asked, int | float) else None


class Follower:
    """Reads the events of a node one after another, over any number of connections that block.

    `names` select events, as in `EventReader`. `on_trouble` hears why a connection ended and in how many seconds the
    next one begins. It may raise to prevent the next one. None: the first connection is the only one.
    """

    def __init__(
        self,
        connect: Callable[[], NodeClient],
        names: Sequence[tuple[str, str]],
        since: str | None,
        on_trouble: Callable[[str, float], None] | None,
    ) -> None:
        self._reader = EventReader(names, since)
        self._connect = connect
        self._on_trouble = on_trouble
        self._backoff = Backoff()

    def events(self) -> Iterator[NodeEvent]:
        """Every event from the cursor on, for ever.

        Raises:
            Unreachable: the only connection ended. NoNode: no node answers there.
            NodeError: the node refuses for good, for example because the cursor is not of its store.
        """
        while True:
            try:
                yield from self._read_connection()
            except ClientError as error:
                if self._on_trouble is None or not is_passing(error):
                    raise
                wait_s = self._backoff.draw_s(asked_wait_s(error))
                self._on_trouble(str(error), wait_s)
                time.sleep(wait_s)

    def _read_connection(self) -> Iterator[NodeEvent]:
        """The events of one connection. Raises: ClientError: why it ended."""
        with self._connect() as client:
            for line in client.lines(self._reader.target()):
                event = self._reader.read(line)
                if not line:
                    self._backoff.reset()
                if event is not None:
                    yield event
        raise Goodbye("the node ended the stream", is_passing=True)


def _decode_event(data: bytes) -> NodeEvent:
    try:
        return msgspec.structs.replace(msgspec.json.decode(data, type=NodeEvent), line=data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NoNode(f"what answers there sends no event: {error}") from error
