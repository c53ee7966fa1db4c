"""The hub gives every event of this node to its consumers: stored events first, then live ones, no gap, no repeat.

    commit -> on_commit -> channels -> sockets of live consumers        in one turn of the loop
    store, by pages -> a consumer that is behind -> its socket          as fast as the consumer reads

A consumer has a place: it got everything up to there. If its place is the last event, it is *live*, and each commit is
written to its socket at once. A consumer whose socket is full stops being live and keeps its place. Nothing is queued
for it. When it reads again, it goes on from the store until its place is the last event again. No `await` stands
between the check of its place and its becoming live, so no event can come in between.

A commit of many events costs a step for each event and each channel that takes it. When a commit has used up
`GIVING_S_MAX`, nobody is live any more: each consumer goes on from its place, in turns and at the cost of its address.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, Self

import msgspec

from node.fairness.fair_slots import FairSlots
from node.fairness.read_cost import pace, reader
from node.intake.commits import Committed
from node.settings.settings import Settings
from node.store.contract import Selection, Store, StoredEvent
from node.streams.consumers import Channel, Channels, Consumer, Write
from node.streams.events import (
    BEGINNING,
    FROM_THE_BEGINNING,
    Framing,
    Place,
    Recent,
    StreamedEvent,
    pieces,
    seq_of_cursor,
)
from protocol.errors import Code, ProtocolError

PIECE_BYTES_AIM: Final = 65_536
"""Bytes of records that are written to a socket at once: as many as a transport buffers before it is full."""

GIVING_S_MAX: Final = 0.01
"""Seconds of the loop for giving one commit to the live consumers. 360 streams that each named other domains beside a
common one held the loop for 150 ms when a batch of 250 records came."""

RECENT_BYTES_MAX: Final = 8 * 2**20
"""Bytes of recent records in memory, so that many consumers that fall behind together do not all read the store. With 2
MiB, 360 consumers that batches left behind came too late for these, and each of them searched the store.
"""

PAGE_EVENTS_MIN: Final = 16
PAGE_EVENTS_MAX: Final = 512
"""Events in one read of the store. The first page is small, because each record may have 64 KiB."""

PAGE_BYTES_AIM: Final = 256 * 1_024

PAGES_AT_ONCE_MAX: Final = 2
"""Pages that are in memory at once. 400 consumers that began together grew the node by 560 MB: each had a page of 1 MB,
and its frames. To frame a page takes 5 ms of a turn of the loop.
"""

SEARCHED_EVENTS_MAX: Final = 20_000
"""Events that one read of the store looks at, wanted or not: about 20 ms."""

SEARCHED_NAMES_MAX: Final = 200
"""Domains in one query of the store. If there are more, the events of all domains are read and filtered here."""

_RETRY_AFTER_S: Final = 5

_Page = tuple[list[StreamedEvent], Place]
"""Events, and the place that a consumer reaches when it has got those of them that it wants."""


class Streams:
    """The `consumers` of a node, in the order in which they came. `last` is the place behind the last event."""

    def __init__(
        self, settings: Settings, store: Store, last: Place, processor_s: Callable[[], float] = time.thread_time
    ) -> None:
        """`last` is the place behind the last event of the store. `processor_s` is the processor time of the loop."""
        self.last = last
        self._settings = settings
        self._store = store
        self._processor_s = processor_s
        self._channels = Channels()
        self._recent = Recent(RECENT_BYTES_MAX)
        self.consumers: dict[Consumer, None] = {}
        self._by_address: Counter[str] = Counter()
        self._admitted = 0
        self._is_closed = False
        self._reading = FairSlots(PAGES_AT_ONCE_MAX)

    @classmethod
    async def load(cls, settings: Settings, store: Store, processor_s: Callable[[], float] = time.thread_time) -> Self:
        """Streams that begin behind the last event of the store. From now on, call `on_commit` for every commit."""
        streams = cls(settings, store, BEGINNING, processor_s)
        last_seq = await store.last_event()
        if last_seq:
            streams.last = await streams._read_place(last_seq)
        return streams

    def __len__(self) -> int:
        """The number of consumers."""
        return self._admitted

    def on_commit(self, committed: Committed) -> None:
        """Give the events of this commit to all live consumers, in this turn of the loop, as far as its time goes."""
        events = committed.events
        if not events:
            return
        assert events[0].seq == self.last.seq + 1, "commits come in order, and every commit comes"
        if not self._admitted:
            self._recent.clear()
            self.last = Place(events[-1].seq, events[-1].event.record.id)
            return
        end_s = self._processor_s() + GIVING_S_MAX
        for piece in pieces(map(self._wrap, events), PIECE_BYTES_AIM):
            for event in piece:
                self._recent.add(event)
            before, self.last = self.last, piece[-1].place
            if not self._publish(piece, end_s):
                self._leave_behind(before)

    def _publish(self, piece: list[StreamedEvent], end_s: float) -> bool:
        """Give these events to all live consumers. Returns whether all of them got theirs before this time."""
        wanted: dict[Channel, list[StreamedEvent]] = {}
        for event in piece:
            if self._processor_s() > end_s:
                return False
            for channel in () if event.is_erased else self._channels.of(event):
                wanted.setdefault(channel, []).append(event)
        for channel, events in wanted.items():
            if self._processor_s() > end_s:
                return False
            for consumer in channel.give(events, self.last):
                self._channels.leave(consumer)
        return True

    def _leave_behind(self, place: Place) -> None:
        """Nobody is live any more. All have got everything up to this place, and some of them more."""
        for consumer in self._channels.consumers():
            consumer.fall_behind(place)
        self._channels = Channels()

    @asynccontextmanager
    async def open(
        self, selection: Selection, framing: Framing, cursor: str | None, write: Write, address: str | None
    ) -> AsyncIterator[Consumer]:
        """A consumer for as long as the block lasts. It begins behind `cursor`, or now if that is None. `feed` makes it
        go on. `address` is where the limit of each address counts it; None: it is exempt.

        Raises:
            ProtocolError: `overloaded`, `rate_limited`, `stopping`; `malformed` or `cursor_unknown` for the cursor.
        """
        self._check_room(address)
        with self._count(address):
            consumer = Consumer(selection, framing, await self._find_begin(cursor), write)
            self.consumers[consumer] = None
            if self._is_closed:
                consumer.end(stopping())
            try:
                yield consumer
            finally:
                del self.consumers[consumer]
                self._channels.leave(consumer)

    @contextmanager
    def _count(self, address: str | None) -> Iterator[None]:
        self._admitted += 1
        if address is not None:
            self._by_address[address] += 1
        try:
            yield
        finally:
            self._admitted -= 1
            if address is not None:
                self._by_address[address] -= 1
                if not self._by_address[address]:
                    del self._by_address[address]

    def _check_room(self, address: str | None) -> None:
        if self._is_closed:
            raise stopping()
        total, per_address = self._settings.streams_max, self._settings.streams_per_address_max
        room = total if address is None else min(total, max(1, total * 3 // 4))  # some are kept for this machine
        if self._admitted >= room:
            detail = f"this node has {self._admitted} streams open, and no room for more"
            raise ProtocolError(Code.OVERLOADED, detail, retry_after=_RETRY_AFTER_S)
        if address is not None and per_address is not None and self._by_address[address] >= per_address:
            detail = f"{address} has {per_address} streams open: close one first"
            raise ProtocolError(Code.RATE_LIMITED, detail, retry_after=_RETRY_AFTER_S)

    def within_shown(self, selection: Selection) -> Selection:
        """This selection, within the domains that this node shows."""
        shown = self._settings.domains
        if shown is None:
            return selection
        domains = frozenset(shown) if selection.domains is None else selection.domains & frozenset(shown)
        return msgspec.structs.replace(selection, domains=domains)

    async def _find_begin(self, cursor: str | None) -> Place:
        if cursor is None:
            return self.last
        if cursor == FROM_THE_BEGINNING:
            return BEGINNING
        place = await self._find_place(seq_of_cursor(cursor))
        if place is None or place.cursor(self._store.epoch) != cursor:
            detail = "this cursor is of another store, or of one that was restored since: read what there is, then "
            raise ProtocolError(Code.CURSOR_UNKNOWN, detail + "stream without `since`", parameter="since")
        return place

    async def _find_place(self, seq: int) -> Place | None:
        if seq in (BEGINNING.seq, self.last.seq):
            return BEGINNING if seq == BEGINNING.seq else self.last
        if seq > self.last.seq:
            return None
        recent = self._recent.get(seq)
        return await self._read_place(seq) if recent is None else recent.place

    async def _read_place(self, seq: int) -> Place:
        """The place behind this event. If the event is of a dropped domain, the place names no record."""
        events = await self._store.events(seq - 1, 1, through=seq)
        return Place(seq, events[0].event.record.id if events else "")

    async def feed(self, consumer: Consumer) -> None:
        """Give the consumer every event behind its place, then make it live. Returns earlier if the consumer is full or
        ends.

        A caller that reads much is slowed down.
        """
        limit = PAGE_EVENTS_MIN
        while not (consumer.is_live or consumer.is_full or consumer.ending):
            if consumer.place.seq == self.last.seq:
                self._channels.join(consumer)
                return
            await pace()
            page = self._recent.after(consumer.place.seq, limit)
            if page:
                _give_page(consumer, page, page[-1].place)
                limit = _next_limit(limit, page)
                continue
            async with self._reading.take(reader()):
                limit = await self._give_stored(consumer, limit)

    async def _give_stored(self, consumer: Consumer, limit: int) -> int:
        """Give the consumer a page from the store. The page leaves memory at the end of this call. Returns the next
        limit.
        """
        page, place = await self._read_page(consumer.selection, consumer.place.seq, limit)
        _give_page(consumer, page, place)
        return _next_limit(limit, page)

    def place(self, consumer: Consumer) -> Place:
        """The place of the consumer. A live consumer has come to the last event, whether it wants that event or not."""
        return self.last if consumer.is_live else consumer.place

    def cursor(self, consumer: Consumer) -> str:
        """The place of the consumer, as a cursor with which it can come back."""
        return self.place(consumer).cursor(self._store.epoch)

    def skip(self, seq: int) -> None:
        """There are no events between the last one and this number: their domain was dropped. Consumers that have come
        to the last event have come to this place.
        """
        if seq > self.last.seq:
            self._recent.clear()
            self.last = Place(seq, "")

    def forget(self) -> None:
        """Drop the events in memory, because records were erased or dropped. The store has what is left of them."""
        self._recent.clear()

    def close(self) -> None:
        """End all consumers, and accept no more."""
        self._is_closed = True
        for consumer in list(self.consumers):
            consumer.end(stopping())

    async def _read_page(self, selection: Selection, seq: int, limit: int) -> _Page:
        """A page from the store. It ends at the last event that live consumers have got."""
        last = self.last
        through = min(last.seq, seq + SEARCHED_EVENTS_MAX)
        if len(selection.domains or ()) > SEARCHED_NAMES_MAX:
            selection = msgspec.structs.replace(selection, domains=None)
        page = [self._wrap(it) for it in await self._store.events(seq, limit, selection, through)]
        if len(page) == limit:
            return page, page[-1].place
        place = last if through == last.seq else await self._find_place(through)
        assert place is not None, "numbers of events have a place up to the last"
        return page, place

    def _wrap(self, stored: StoredEvent) -> StreamedEvent:
        return StreamedEvent(self._store.epoch, stored)


def stopping() -> ProtocolError:
    return ProtocolError(Code.STOPPING, "this node is stopping: come back with the cursor", retry_after=_RETRY_AFTER_S)


def _give_page(consumer: Consumer, page: list[StreamedEvent], place: Place) -> None:
    """Give it the events of the page that it wants, and move it to `place`. If it is full before, it stops where it is,
    and the rest is read again later.
    """
    for piece in pieces(page, PIECE_BYTES_AIM):
        wanted = [it for it in piece if not it.is_erased and consumer.selection.takes(it.type, it.domain, it.label)]
        consumer.give(wanted, b"".join(event.frame(consumer.framing) for event in wanted), piece[-1].place)
        if consumer.is_full:
            return
    consumer.give((), b"", place)


def _next_limit(limit: int, page: list[StreamedEvent]) -> int:
    """How many events of this average size make a page: at most twice as many as the last limit."""
    size_bytes = sum(event.size_bytes for event in page) // max(1, len(page))
    return max(1, min(2 * limit, PAGE_EVENTS_MAX, PAGE_BYTES_AIM // max(1, size_bytes)))
