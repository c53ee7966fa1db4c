"""Channels bring each event to the consumers that want it, and to no others."""

from hypothesis import given
from hypothesis import strategies as st

from node.store.contract import EVERYTHING, Selection
from node.streams.consumers import Channels, Consumer
from node.streams.events import BEGINNING, Framing, StreamedEvent
from node.streams.hub import stopping
from protocol.errors import Code, ProtocolError
from protocol.records.change import EventType
from tests.node.streams.test_events import streamed

NAMES = st.frozensets(st.sampled_from(["a", "b", "c"]), max_size=3) | st.none()
SELECTIONS = st.builds(
    Selection,
    domains=st.frozensets(st.sampled_from(["example", "other"])) | st.none(),
    labels=NAMES,
    only_final=st.booleans(),
)
TYPES = st.sampled_from(EventType)


def plain(event: StreamedEvent) -> bytes:
    return event.json


def lined(event: StreamedEvent) -> bytes:
    return event.json + b"\n"


class Reader:
    """A consumer, and what was written to it."""

    def __init__(self, selection: Selection = EVERYTHING, framing: Framing = plain, room: int = 1_000) -> None:
        """`room` is how many writes find room, minus one."""
        self.written: list[bytes] = []
        self.room = room
        self.consumer = Consumer(selection, framing, BEGINNING, self.write)

    def write(self, data: bytes) -> bool:
        self.written.append(data)
        self.room -= 1
        return self.room > 0


def publish(channels: Channels, event: StreamedEvent) -> list[Consumer]:
    return [full for channel in channels.of(event) for full in channel.give([event], event.place)]


@given(
    st.lists(st.tuples(SELECTIONS, st.sampled_from([plain, lined]), st.booleans()), max_size=12),
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d"]), TYPES), max_size=4),
)
def test_each_event_goes_once_to_each_consumer_that_wants_it(
    wanted: list[tuple[Selection, Framing, bool]], moves: list[tuple[str, EventType]]
) -> None:
    channels = Channels()
    readers = [Reader(selection, framing) for selection, framing, _ in wanted]
    for reader in readers:
        channels.join(reader.consumer)
    for reader, (_, _, leaves) in zip(readers, wanted, strict=True):
        if leaves:
            channels.leave(reader.consumer)
    events = [streamed(seq, label=label, move=move) for seq, (label, move) in enumerate(moves, start=1)]

    for event in events:
        publish(channels, event)

    for reader, (selection, framing, leaves) in zip(readers, wanted, strict=True):
        taken = [event for event in events if not leaves and selection.takes(event.type, event.domain, event.label)]
        assert reader.written == [framing(event) for event in taken]


@given(st.lists(SELECTIONS, max_size=8))
def test_channels_are_empty_when_all_consumers_have_left(selections: list[Selection]) -> None:
    channels = Channels()
    consumers = [Reader(selection).consumer for selection in selections]
    for consumer in consumers:
        channels.join(consumer)

    for consumer in (*consumers, *consumers):
        channels.leave(consumer)

    assert not any(vars(channels).values())


def test_consumers_with_the_same_selection_and_framing_get_the_same_bytes() -> None:
    channels = Channels()
    one, other = Reader(), Reader()
    channels.join(one.consumer)
    channels.join(other.consumer)

    publish(channels, streamed())

    assert one.written[0] is other.written[0]


def test_a_full_consumer_is_reported_and_does_not_delay_others() -> None:
    channels = Channels()
    full, other = Reader(room=1), Reader()
    channels.join(full.consumer)
    channels.join(other.consumer)

    reported = publish(channels, streamed())

    assert reported == [full.consumer]
    assert (full.consumer.is_full, full.consumer.woken.is_set()) == (True, True)
    assert (other.consumer.is_full, len(other.written)) == (False, 1)


def test_a_consumer_keeps_its_first_reason_to_end() -> None:
    consumer = Reader().consumer

    consumer.end(ProtocolError(Code.TIMEOUT, "it reads nothing"))
    consumer.end(stopping())

    assert consumer.ending is not None
    assert (consumer.ending.code, consumer.woken.is_set()) == (Code.TIMEOUT, True)
