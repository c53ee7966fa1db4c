"""Follow the events of a node from outside, over any number of connections. A cursor resumes the stream.

The stream consists of Server-Sent Events (WHATWG HTML, section 9.2). These are lines, so the blocking client reads
them; a command that waits for events has nothing else to do. The first line of a stream holds the cursor at which it
begins, so that a connection that ends before its first event misses nothing.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final
from urllib.parse import urlencode

import msgspec

from node.client.http import NodeClient, NodeError, Unreachable
from protocol.errors import Code, ProtocolError
from protocol.records.record import SignedRecord, decode_signed

PATH: Final = "/events"

WAIT_S_MIN: Final = 0.25
WAIT_S_MAX: Final = 30.0
"""Seconds to wait before the next connection. The limit doubles with each failure, and the wait is drawn between half
the limit and the limit, so that clients that were cut off together do not come back together.
"""

PASSING: Final = frozenset({Code.OVERLOADED, Code.RATE_LIMITED, Code.STOPPING})
"""Refusals that pass with time, so that the next connection may succeed."""

_FIELDS: Final = frozenset({b"", b"id", b"event", b"data", b"retry"})


class NoNode(Unreachable):
    """What answers there is no node, so that another connection would change nothing."""


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


class Follower:
    """Reads the events of a node one after another, over any number of connections.

    `names` are pairs (`domain` or `label`, name) that select events; empty: all events. `on_trouble` hears why a
    connection ended and in how many seconds the next one begins. It may raise to prevent the next one. None: the first
    connection is the only one. `cursor` is that of the last event; it is None before the first answer.
    """

    def __init__(
        self,
        connect: Callable[[], NodeClient],
        names: Sequence[tuple[str, str]],
        since: str | None,
        on_trouble: Callable[[str, float], None] | None,
    ) -> None:
        self.cursor = since
        self._connect = connect
        self._names = names
        self._on_trouble = on_trouble
        self._failures = 0
        self._random = Random()

    def events(self) -> Iterator[NodeEvent]:
        """Every event from the cursor on, for ever.

        Raises:
            Unreachable: the only connection ended. NoNode: no node answers there.
            NodeError: the node refuses for good, for example because the cursor is not of its store.
        """
        while True:
            asked_s: float | None = None
            try:
                yield from self._read_connection()
                trouble: Unreachable | NodeError = Unreachable("the node ended the stream")
            except NoNode:
                raise
            except Unreachable as error:
                trouble = error
            except NodeError as error:
                trouble, asked_s = error, error.facts.get("retry_after")
                if error.code not in PASSING:
                    raise
            if self._on_trouble is None:
                raise trouble
            wait_s = self._draw_wait_s(asked_s)
            self._on_trouble(str(trouble), wait_s)
            time.sleep(wait_s)

    def _read_connection(self) -> Iterator[NodeEvent]:
        query = [*self._names, *([] if self.cursor is None else [("since", self.cursor)])]
        with self._connect() as client:
            for fields in _read_blocks(client.lines(f"{PATH}?{urlencode(query)}" if query else PATH)):
                self._failures = 0
                if b"id" in fields:
                    self.cursor = fields[b"id"].decode(errors="replace")
                if fields.get(b"event") == b"close":
                    return
                if b"data" in fields:
                    yield _decode_event(fields[b"data"])

    def _draw_wait_s(self, asked_s: float | None) -> float:
        limit_s = min(WAIT_S_MAX, WAIT_S_MIN * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        return max(self._random.uniform(limit_s / 2, limit_s), asked_s or 0.0)


def _read_blocks(lines: Iterator[bytes]) -> Iterator[dict[bytes, bytes]]:
    """The fields of each block of lines. An empty line ends a block. Raises: NoNode: these are no such events."""
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b": ")
        if line and name not in _FIELDS:
            raise NoNode("what answers there sends no events as a node does")
        if line:
            fields[name] = value
        else:
            yield fields
            fields = {}


def _decode_event(data: bytes) -> NodeEvent:
    try:
        return msgspec.structs.replace(msgspec.json.decode(data, type=NodeEvent), line=data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NoNode(f"what answers there sends no event: {error}") from error
