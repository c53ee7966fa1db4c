"""Following a node's events from outside, for as long as one likes: whoever is cut off comes back with the cursor.

Server-Sent Events (WHATWG HTML, section 9.2) over the blocking client, since they are lines, and a command that waits
for events has nothing else to do. The stream's first line tells where it begins, so that not even an event before the
first one seen is missed.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final
from urllib.parse import urlencode

import msgspec

from node.client.http import NodeClient, NodeError, Unreachable
from protocol.errors import Code, ProtocolError
from protocol.records.record import SignedRecord, check_signature_spelling, decode

PATH: Final = "/events"

WAIT_S_MIN: Final = 0.25
WAIT_S_MAX: Final = 30.0
"""How long to wait before coming back: twice as long each time, and by chance up to that, so that all who were cut off
together do not come back together.
"""

PASSING: Final = frozenset({Code.OVERLOADED, Code.RATE_LIMITED, Code.STOPPING})
"""Refusals after which it is worth to come back."""

_FIELDS: Final = frozenset({b"", b"id", b"event", b"data", b"retry"})


class NoNode(Unreachable):
    """What answers there is no node, so that coming back would change nothing."""


class Event(msgspec.Struct, frozen=True):
    """An event as a node tells it: section 6 of the protocol. `line` is its JSON as it came."""

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
        """The record, proven. Raises: ProtocolError: `bad_signature`, `malformed`: nobody signed that."""
        check_signature_spelling(self.signature)
        signed = SignedRecord(self.signature, decode(bytes(self.record)))
        record = signed.record
        if (record.id, record.domain, record.label) != (self.id, self.domain, self.label) or not signed.is_genuine():
            raise ProtocolError(Code.BAD_SIGNATURE, f"the node tells of a record that nobody signed: {self.id}")
        return signed


class Following:
    """The events of a node, one after another, over as many connections as it takes.

    `on_trouble` hears why one ended and in how many seconds the next begins, and may raise so that none does; None: the
    first one that ends is the last. `cursor` is how far it has come.
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

    def events(self) -> Iterator[Event]:
        """Every event from the cursor on, for ever.

        Raises:
            Unreachable: where it is not to come back. NoNode: where it would be in vain.
            NodeError: the node refuses for good: the cursor is not one of its store, say.
        """
        while True:
            asked_s: float | None = None
            try:
                yield from self._one_connection()
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
            wait_s = self._wait_s(asked_s)
            self._on_trouble(str(trouble), wait_s)
            time.sleep(wait_s)

    def _one_connection(self) -> Iterator[Event]:
        query = [*self._names, *([] if self.cursor is None else [("since", self.cursor)])]
        with self._connect() as client:
            for fields in _blocks(client.lines(f"{PATH}?{urlencode(query)}" if query else PATH)):
                self._failures = 0
                if b"id" in fields:
                    self.cursor = fields[b"id"].decode(errors="replace")
                if fields.get(b"event") == b"close":
                    return
                if b"data" in fields:
                    yield _event(fields[b"data"])

    def _wait_s(self, asked_s: float | None) -> float:
        most_s = min(WAIT_S_MAX, WAIT_S_MIN * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        return max(self._random.uniform(most_s / 2, most_s), asked_s or 0.0)


def _blocks(lines: Iterator[bytes]) -> Iterator[dict[bytes, bytes]]:
    """The fields of each block of lines up to an empty one. Raises: NoNode: these are no Server-Sent Events."""
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b": ")
        if line and name not in _FIELDS:
            raise NoNode("what answers there does not tell events as a node does")
        if line:
            fields[name] = value
        else:
            yield fields
            fields = {}


def _event(data: bytes) -> Event:
    try:
        return msgspec.structs.replace(msgspec.json.decode(data, type=Event), line=data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NoNode(f"what answers there tells no event: {error}") from error
