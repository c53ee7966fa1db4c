"""Consumers of events, and the channels by which an event finds its consumers.

Live consumers with the same selection and the same framing share a channel, so the events of a commit are filtered and
framed once for all of them. A channel is indexed by its labels if it names any, because few channels share a label;
otherwise by its domains. So an event costs nothing for consumers that want other labels or domains.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from node.store.contract import Selection
from node.streams.events import Framing, Place, StreamedEvent
from protocol.errors import ProtocolError

Write = Callable[[bytes], bool]
"""Writes bytes without waiting, and returns whether there is room for more."""


class Consumer:
    """One reader of events.

    It got every event up to `place` that it wants. While `is_live`, it has every event of the node. `told_seq` is the
    number in the last cursor that it saw. `is_full` says that its connection has no room for more. `ending` is the
    reason why it ends, None while it does not. `woken` is set when its handler has to look at it again.
    """

    def __init__(self, selection: Selection, framing: Framing, place: Place, write: Write) -> None:
        """`place` is where it begins. `write` sends bytes to it."""
        self.selection = selection
        self.framing = framing
        self.place = place
        self.told_seq = place.seq
        self.is_live = False
        self.is_full = False
        self.ending: ProtocolError | None = None
        self.woken = asyncio.Event()
        self._write = write

    def give(self, events: Sequence[StreamedEvent], frames: bytes, place: Place) -> None:
        """Write the frames of these events. They must be all events up to `place` that it wants."""
        self.place = place
        if not events:
            return
        self.told_seq = events[-1].seq
        if not self._write(frames):
            self.is_full = True
            self.woken.set()

    def fall_behind(self, place: Place) -> None:
        """Be live no more. The consumer has got everything up to this place that it wants."""
        self.is_live = False
        if self.place.seq < place.seq:  # it wanted none of the events in between
            self.place = place
        self.woken.set()

    def end(self, error: ProtocolError) -> None:
        """Make it end for this reason. If it ends already, the first reason stays."""
        self.ending = self.ending or error
        self.woken.set()


class Channel:
    """The live consumers with one selection and one framing, in the order in which they joined."""

    def __init__(self, selection: Selection, framing: Framing) -> None:
        self.selection = selection
        self.framing = framing
        self.consumers: dict[Consumer, None] = {}

    def give(self, events: Sequence[StreamedEvent], place: Place) -> list[Consumer]:
        """Give all of them these events, in the same bytes. Returns the consumers that have no room for more."""
        frames = b"".join(event.frame(self.framing) for event in events)
        for consumer in self.consumers:
            consumer.give(events, frames, place)
        return [consumer for consumer in self.consumers if consumer.is_full]


class Channels:
    """All channels. To join or leave costs a step for each name of the selection; an event costs a step a channel."""

    def __init__(self) -> None:
        self._all: dict[tuple[Selection, Framing], Channel] = {}
        self._by_label: dict[str, dict[Channel, None]] = {}
        self._by_domain: dict[str, dict[Channel, None]] = {}
        self._of_all_names: dict[Channel, None] = {}

    def join(self, consumer: Consumer) -> None:
        """Give the consumer the events that it wants, from the next one on."""
        key = (consumer.selection, consumer.framing)
        channel = self._all.get(key)
        if channel is None:
            channel = self._all[key] = Channel(*key)
            for index, name in self._entries(channel):
                index.setdefault(name, {})[channel] = None
            if channel.selection.labels is None and channel.selection.domains is None:
                self._of_all_names[channel] = None
        channel.consumers[consumer] = None
        consumer.is_live = True

    def leave(self, consumer: Consumer) -> None:
        """Give the consumer no more events. A consumer that is not live is left alone."""
        if not consumer.is_live:
            return
        consumer.is_live = False
        key = (consumer.selection, consumer.framing)
        channel = self._all[key]
        del channel.consumers[consumer]
        if channel.consumers:
            return
        del self._all[key]
        self._of_all_names.pop(channel, None)
        for index, name in self._entries(channel):
            del index[name][channel]
            if not index[name]:
                del index[name]

    def consumers(self) -> Iterator[Consumer]:
        """All live consumers."""
        for channel in self._all.values():
            yield from channel.consumers

    def of(self, event: StreamedEvent) -> Iterator[Channel]:
        """The channels that this event goes to."""
        by_label, by_domain = self._by_label.get(event.label, ()), self._by_domain.get(event.domain, ())
        for channel in chain(self._of_all_names, by_domain, by_label):
            if channel.selection.takes(event.type, event.domain, event.label):
                yield channel

    def _entries(self, channel: Channel) -> Iterator[tuple[dict[str, dict[Channel, None]], str]]:
        """The indexes in which this channel stands, and the name for each."""
        index, names = self._by_label, channel.selection.labels
        if names is None:
            index, names = self._by_domain, channel.selection.domains
        yield from ((index, name) for name in sorted(names or ()))
