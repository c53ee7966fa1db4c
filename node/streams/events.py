"""Events as consumers see them: their spelling, and the cursor behind each event.

An event goes to many consumers, so it is spelled once, when the first consumer wants it, and all share the bytes. The
most recent events stay in memory for consumers that fall behind a little. Older events come from the store.

A cursor is `SEQ-DIGEST`. The digest binds the number to the store's epoch and to the record of the event. A store that
was restored from a backup gives the same numbers to other events. Thanks to the digest, a consumer with a cursor from
before is told so; otherwise it would miss events silently.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Final

import msgspec

from node.store.contract import StoredEvent
from protocol.errors import Code, ProtocolError

FROM_THE_BEGINNING: Final = "0"
"""The cursor of a consumer that wants every event of the store, whichever store it is."""

_CURSOR: Final = re.compile(r"(0|[1-9][0-9]{0,15})-([0-9a-f]{32})\Z")
_DIGEST_DIGITS: Final = 32


class Place(msgspec.Struct, frozen=True):
    """A place in the sequence of events: right behind the event of number `seq`, which is about record `record_id`."""

    seq: int
    record_id: str

    def cursor(self, epoch: str) -> str:
        """The spelling that a consumer gets and can come back with. `epoch` is the store's."""
        bound = f"dnarc:cursor:v1\n{epoch}\n{self.seq}\n{self.record_id}"
        return f"{self.seq}-{hashlib.sha256(bound.encode()).hexdigest()[:_DIGEST_DIGITS]}"


BEGINNING: Final = Place(0, "")


def seq_of_cursor(cursor: str) -> int:
    """The number in a cursor. The digest is not checked here.

    Raises:
        ProtocolError: `malformed` if this is no cursor.
    """
    match = _CURSOR.match(cursor)
    if match is None:
        detail = f"`since` is a cursor from an earlier event, as it is, or {FROM_THE_BEGINNING}: from the beginning"
        raise ProtocolError(Code.MALFORMED, detail, parameter="since")
    return int(match[1])


class StreamedEvent:
    """An event with the bytes that consumers get. Each spelling is made when it is first needed."""

    def __init__(self, epoch: str, stored: StoredEvent) -> None:
        """`epoch` is the store's, for the cursor."""
        record = stored.event.record
        self.seq = stored.seq
        self.type = stored.event.type
        self.domain = record.domain
        self.label = record.label
        self.place = Place(stored.seq, record.id)
        self.size_bytes = len(record.canonical)
        self.is_erased = record.is_erased
        self._epoch = epoch
        self._stored = stored
        self._frames: dict[Framing, bytes] = {}

    @cached_property
    def cursor(self) -> str:
        return self.place.cursor(self._epoch)

    @cached_property
    def json(self) -> bytes:
        """The event as one line of JSON, with the record in its canonical bytes."""
        event, record = self._stored.event, self._stored.event.record
        parts = (self.seq, self.cursor.encode(), event.type.encode(), self.domain.encode())
        names = (msgspec.json.encode(self.label), record.id.encode(), self._stored.signature.encode())
        line = b'{"seq":%d,"cursor":"%s","type":"%s","domain":"%s"' % parts
        line += b',"label":%s,"id":"%s","signature":"%s"' % names
        if event.previous is not None:
            line += b',"previous":"%s","reason":%s' % (event.previous.encode(), msgspec.json.encode(event.reason))
        return line + b',"record":%s}' % record.canonical

    def frame(self, framing: "Framing") -> bytes:
        """The bytes that go over the wire."""
        frame = self._frames.get(framing)
        if frame is None:
            frame = self._frames[framing] = framing(self)
        return frame


Framing = Callable[[StreamedEvent], bytes]
"""Turns an event into bytes for the wire. Consumers that can share bytes use the same function."""


class Recent:
    """The last events, in order and without gaps."""

    def __init__(self, size_bytes_max: int) -> None:
        """`size_bytes_max`: bytes of records that are kept. With all spellings, they take up to four times as much."""
        self.size_bytes = 0
        self._size_bytes_max = size_bytes_max
        self._events: dict[int, StreamedEvent] = {}

    def add(self, event: StreamedEvent) -> None:
        """Keep the event that follows the last one. The oldest events leave when there are too many bytes."""
        self._events[event.seq] = event
        self.size_bytes += event.size_bytes + _EVENT_BYTES
        while self.size_bytes > self._size_bytes_max:
            oldest = self._events.pop(next(iter(self._events)))
            self.size_bytes -= oldest.size_bytes + _EVENT_BYTES

    def get(self, seq: int) -> StreamedEvent | None:
        return self._events.get(seq)

    def after(self, seq: int, limit: int) -> list[StreamedEvent]:
        """At most `limit` events, beginning behind this number. Empty if the first of them is not kept any more."""
        page: list[StreamedEvent] = []
        while len(page) < limit and (event := self._events.get(seq + len(page) + 1)) is not None:
            page.append(event)
        return page

    def clear(self) -> None:
        self._events.clear()
        self.size_bytes = 0


_EVENT_BYTES: Final = 1_000
"""Bytes that an event takes beside its record: the rest of the spelling, and the objects. A rough measure."""


def pieces(events: Iterable[StreamedEvent], size_bytes_aim: int) -> Iterator[list[StreamedEvent]]:
    """The events in lists of about `size_bytes_aim` bytes of records. Each list has at least one event."""
    piece: list[StreamedEvent] = []
    size_bytes = 0
    for event in events:
        if piece and size_bytes + event.size_bytes > size_bytes_aim:
            yield piece
            piece, size_bytes = [], 0
        piece.append(event)
        size_bytes += event.size_bytes
    if piece:
        yield piece
