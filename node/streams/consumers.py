"""Consumers, and the channels by which an event finds those that want it.

Live consumers that want the same in the same spelling share a channel, so that a commit is filtered and joined once for
all of them. A channel stands under its labels, which few others name, or else under its domains, so that those who want
something else cost nothing.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence

from node.store.contract import EVERYTHING, Selection
from node.streams.events import Form, Place, StreamedEvent
from protocol.errors import ProtocolError

Write = Callable[[bytes], bool]
"""Takes bytes at once, and says whether there is room for more now."""


class Consumer:
    """One reader.

    Everything up to `place` was given to it; while it `is_live`, everything that the node has. `told_seq` is the number
    in the last cursor that it saw. `is_full`: there was no room. `ending` is why it ends, once that is decided. `woken`
    is set when whoever carries it has to look at it again.
    """

    def __init__(self, selection: Selection, form: Form, place: Place, write: Write) -> None:
        self.selection = selection
        self.form = form
        self.place = place
        self.told_seq = place.seq
        self.is_live = False
        self.is_full = False
        self.ending: ProtocolError | None = None
        self.woken = asyncio.Event()
        self._write = write

    def give(self, events: Sequence[StreamedEvent], frames: bytes, place: Place) -> None:
        """Write the frames of these events, which are all that it wants up to this place."""
        self.place = place
        if not events:
            return
        self.told_seq = events[-1].seq
        if not self._write(frames):
            self.is_full = True
            self.woken.set()

    def end(self, error: ProtocolError) -> None:
        """Have it end, for this reason; the first one stands."""
        self.ending = self.ending or error
        self.woken.set()


class Channel:
    """The live consumers that want the same events in the same spelling, in the order in which they came."""

    def __init__(self, selection: Selection, form: Form) -> None:
        self.selection = selection
        self.form = form
        self.consumers: dict[Consumer, None] = {}

    def give(self, events: Sequence[StreamedEvent], place: Place) -> list[Consumer]:
        """Give all of them these events, in the same bytes. Returns those that have no room for more."""
        frames = b"".join(event.frame(self.form) for event in events)
        for consumer in self.consumers:
            consumer.give(events, frames, place)
        return [consumer for consumer in self.consumers if consumer.is_full]


class Channels:
    """All channels. Joining and leaving cost what the selection has names; an event costs what it goes to."""

    def __init__(self) -> None:
        self._all: dict[tuple[Selection, Form], Channel] = {}
        self._by_label: dict[str, dict[Channel, None]] = {}
        self._by_domain: dict[str, dict[Channel, None]] = {}
        self._of_everything: dict[Channel, None] = {}

    def join(self, consumer: Consumer) -> None:
        """From the next event on it gets what it wants."""
        key = (consumer.selection, consumer.form)
        channel = self._all.get(key)
        if channel is None:
            channel = self._all[key] = Channel(*key)
            for index, name in self._entries(channel):
                index.setdefault(name, {})[channel] = None
            if channel.selection == EVERYTHING:
                self._of_everything[channel] = None
        channel.consumers[consumer] = None
        consumer.is_live = True

    def leave(self, consumer: Consumer) -> None:
        """It gets nothing from here any more. No error where it is not here."""
        if not consumer.is_live:
            return
        consumer.is_live = False
        key = (consumer.selection, consumer.form)
        channel = self._all[key]
        del channel.consumers[consumer]
        if channel.consumers:
            return
        del self._all[key]
        self._of_everything.pop(channel, None)
        for index, name in self._entries(channel):
            del index[name][channel]
            if not index[name]:
                del index[name]

    def of(self, event: StreamedEvent) -> Iterator[Channel]:
        """Those that this event goes to."""
        yield from self._of_everything
        yield from self._by_domain.get(event.domain, ())
        for channel in self._by_label.get(event.label, ()):
            if channel.selection.takes(event.domain, event.label):
                yield channel

    def _entries(self, channel: Channel) -> Iterator[tuple[dict[str, dict[Channel, None]], str]]:
        index, names = self._by_label, channel.selection.labels
        if names is None:
            index, names = self._by_domain, channel.selection.domains
        yield from ((index, name) for name in sorted(names or ()))
