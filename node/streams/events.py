"""Events as consumers see them: how they are spelled, and the cursor that stands behind each.

An event goes to many consumers, so it is spelled once, when the first of them wants it, and all share the bytes. The
events of late are kept for those who fall behind by a little; older ones come from the store.

A cursor is `SEQ-DIGEST`. The digest binds the number to the store's epoch and to the record of that event: a store that
was restored from a backup gives the same numbers to other events, and a consumer has to be told instead of missing
some in silence.
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
"""Spelled by whoever wants every event that the store has, whichever store it is."""

_CURSOR: Final = re.compile(r"(0|[1-9][0-9]{0,15})-([0-9a-f]{32})\Z")
_DIGEST_DIGITS: Final = 32


class Place(msgspec.Struct, frozen=True):
    """How far somebody has come: right behind the event of this number, which is about the record of this id."""

    seq: int
    record_id: str

    def cursor(self, epoch: str) -> str:
        """The spelling that a consumer gets, and may come back with."""
        bound = f"dnarc:cursor:v1\n{epoch}\n{self.seq}\n{self.record_id}"
        return f"{self.seq}-{hashlib.sha256(bound.encode()).hexdigest()[:_DIGEST_DIGITS]}"


BEGINNING: Final = Place(0, "")


def seq_of_cursor(cursor: str) -> int:
    """The number in a cursor, before anybody has looked whether the rest is true.

    Raises:
        ProtocolError: `malformed` where it is none.
    """
    match = _CURSOR.match(cursor)
    if match is None:
        detail = f"`since` is a cursor from an earlier event, as it is, or {FROM_THE_BEGINNING}: from the beginning"
        raise ProtocolError(Code.MALFORMED, detail, parameter="since")
    return int(match[1])


class StreamedEvent:
    """An event with all that consumers get of it, made when it is first asked for."""

    def __init__(self, epoch: str, stored: StoredEvent) -> None:
        record = stored.event.record
        self.seq = stored.seq
        self.domain = record.domain
        self.label = record.label
        self.place = Place(stored.seq, record.id)
        self.size_bytes = len(record.canonical)
        self._epoch = epoch
        self._stored = stored
        self._frames: dict[Form, bytes] = {}

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

    def frame(self, form: "Form") -> bytes:
        """The event as it goes over the wire."""
        frame = self._frames.get(form)
        if frame is None:
            frame = self._frames[form] = form(self)
        return frame


Form = Callable[[StreamedEvent], bytes]
"""How an event is put on the wire. The same function for all who get the same bytes."""


class Recent:
    """The last events, in order and without gaps, of at most so many bytes of records; all that is made of them takes
    up to four times as much.
    """

    def __init__(self, size_bytes_max: int) -> None:
        self.size_bytes = 0
        self._size_bytes_max = size_bytes_max
        self._events: dict[int, StreamedEvent] = {}

    def add(self, event: StreamedEvent) -> None:
        """Keep the event that follows the last one, and forget the oldest where they are too many."""
        self._events[event.seq] = event
        self.size_bytes += event.size_bytes + _EVENT_BYTES
        while self.size_bytes > self._size_bytes_max:
            oldest = self._events.pop(next(iter(self._events)))
            self.size_bytes -= oldest.size_bytes + _EVENT_BYTES

    def get(self, seq: int) -> StreamedEvent | None:
        return self._events.get(seq)

    def after(self, seq: int, limit: int) -> list[StreamedEvent]:
        """Up to so many events from the one behind this number on; empty where that one is not here."""
        page: list[StreamedEvent] = []
        while len(page) < limit and (event := self._events.get(seq + len(page) + 1)) is not None:
            page.append(event)
        return page

    def clear(self) -> None:
        self._events.clear()
        self.size_bytes = 0


_EVENT_BYTES: Final = 1_000
"""What an event takes beside its record: everything around that, spelled, and the objects. A rough measure."""


def pieces(events: Iterable[StreamedEvent], size_bytes_aim: int) -> Iterator[list[StreamedEvent]]:
    """The events in lists of about so many bytes of records, each of at least one event."""
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
