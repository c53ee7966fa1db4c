"""A consumer gets every event once and in order, first from the store and then live."""

import asyncio
import json
import shutil
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.fairness.read_cost import READ_COST, ReadCost
from node.settings.settings import Settings
from node.store.contract import EVERYTHING, Batch, Selection
from node.streams import Consumer, Streams
from node.streams.events import BEGINNING
from node.streams.hub import (
    GIVING_S_MAX,
    PAGE_EVENTS_MIN,
    PAGES_AT_ONCE_MAX,
    PIECE_BYTES_AIM,
    RECENT_BYTES_MAX,
    SEARCHED_EVENTS_MAX,
)
from protocol.errors import Code, ProtocolError
from protocol.records.change import Event, EventType
from tests.history import BOB, claim
from tests.node.intake.pipeline import NOW, PEER, Pipeline, pipeline
from tests.node.streams.test_consumers import lined
from tests.node.streams.test_events import OTHER_EPOCH

ADDRESS, OTHER_ADDRESS = "192.0.2.1", "192.0.2.2"
ENDLESS_ROOM = 10**6
TEXT_BYTES = 60_000
"""The size of a large record."""


def busy(step_s: float) -> Callable[[], float]:
    """The processor time of a thread that takes so many seconds between two looks at it."""
    looks = count()
    return lambda: next(looks) * step_s


IDLE = busy(0.0)


@asynccontextmanager
async def streaming(
    folder: Path, processor_s: Callable[[], float] = IDLE, **chosen: Any
) -> AsyncIterator[tuple[Pipeline, Streams]]:
    async with pipeline(folder, **chosen) as pipe:
        streams = await Streams.load(Settings(data=folder, **chosen), pipe.store, processor_s)
        pipe.commits.watchers.append(streams.on_commit)
        yield pipe, streams


class Reader:
    """A reader that reads as fast as the test says. `room` is the number of writes that still find room, plus one."""

    def __init__(self, streams: Streams, selection: Selection = EVERYTHING) -> None:
        self.room = ENDLESS_ROOM
        self.has_read = asyncio.Event()
        self._streams = streams
        self._selection = selection
        self._written = b""

    def open(self, since: str | None = None, address: str | None = None) -> AbstractAsyncContextManager[Consumer]:
        return self._streams.open(self._selection, lined, since, self._write, address)

    def _write(self, data: bytes) -> bool:
        self._written += data
        self.has_read.set()
        self.room -= 1
        return self.room > 0

    async def read(self, consumer: Consumer) -> None:
        """Make room, as a client does that reads again."""
        self.room = ENDLESS_ROOM
        consumer.is_full = False
        await self._streams.feed(consumer)

    @property
    def events(self) -> list[Any]:
        return [json.loads(line) for line in self._written.splitlines()]

    @property
    def labels(self) -> list[str]:
        return [event["label"] for event in self.events]


def refused_as(code: Code) -> Callable[[ProtocolError], bool]:
    return lambda error: error.code is code


async def test_stored_events_come_first_and_live_events_after_them(tmp_path: Path) -> None:
    async with streaming(tmp_path) as (pipe, streams):
        await pipe.take(claim("one", at=NOW))
        await pipe.take(claim("two", at=NOW), claim("three", at=NOW))
        reader = Reader(streams)
        async with reader.open("0") as consumer:
            await streams.feed(consumer)
            await pipe.take(claim("four", at=NOW))

    assert [event["seq"] for event in reader.events] == [1, 2, 3, 4]
    assert reader.labels[0::3] == ["one", "four"]


async def test_without_a_cursor_a_stream_begins_now(tmp_path: Path) -> None:
    async with streaming(tmp_path) as (pipe, streams):
        await pipe.take(claim("one", at=NOW))
        reader = Reader(streams)
        async with reader.open() as consumer:
            await pipe.take(claim("two", at=NOW))
            await streams.feed(consumer)
            await pipe.take(claim("three", at=NOW))

    assert reader.labels == ["two", "three"]


async def test_an_event_is_told_only_after_its_commit(tmp_path: Path) -> None:
    async with streaming(tmp_path) as (pipe, streams):
        told: list[int] = []
        pipe.commits.watchers.insert(0, lambda committed: told.append(committed.events[0].seq))
        reader = Reader(streams)
        async with reader.open() as consumer:
            await streams.feed(consumer)
            taking = asyncio.create_task(pipe.take(claim("one", at=NOW)))
            await reader.has_read.wait()
            stored = await pipe.store.events(0, 10)
            await taking

    assert [each.seq for each in stored] == told == [1]


ROOMS = {"none": 1, "one": 2, "endless": ENDLESS_ROOM}
WRITES = st.lists(
    st.tuples(st.lists(st.sampled_from("abc"), min_size=1, max_size=6), st.sampled_from(list(ROOMS))),
    max_size=6,
)


@given(
    writes=WRITES,
    label=st.sampled_from([None, "a", "d"]),
    begins=st.integers(0, 6),
    step_s=st.sampled_from([0.0, GIVING_S_MAX / 4, 2 * GIVING_S_MAX]),
)
@settings(max_examples=30)
def test_no_event_is_missed_or_repeated_whatever_room_there_is_and_however_long_it_takes(
    writes: list[tuple[list[str], str]], label: str | None, begins: int, step_s: float
) -> None:
    """Each write makes claims while the consumer reads from the store, with or without room for them."""

    async def run(folder: Path) -> tuple[list[Any], list[Any]]:
        async with streaming(folder, busy(step_s), max_age=None) as (pipe, streams):
            selection = Selection(labels=None if label is None else frozenset({label}))
            reader, everything = Reader(streams, selection), Reader(streams)
            number = 0

            async def write(labels: list[str]) -> None:
                nonlocal number
                number += len(labels)
                records = [claim(each, at=number + at) for at, each in enumerate(labels)]
                await asyncio.gather(pipe.take(*records[:2]), pipe.take(*records[2:]))

            for labels, _ in writes[:begins]:
                await write(labels)
            async with reader.open("0") as consumer:
                for labels, room in writes[begins:]:
                    reader.room = ROOMS[room]
                    await asyncio.gather(write(labels), streams.feed(consumer), return_exceptions=False)
                await reader.read(consumer)
                assert consumer.is_live
            async with everything.open("0") as consumer:
                await streams.feed(consumer)
            return reader.events, everything.events

    with TemporaryDirectory() as folder:
        given_events, all_events = asyncio.run(run(Path(folder)))

    assert [event["seq"] for event in all_events] == list(range(1, len(all_events) + 1))
    assert given_events == [event for event in all_events if label in (None, event["label"])]


async def test_a_commit_larger_than_a_socket_is_given_as_far_as_there_is_room(tmp_path: Path) -> None:
    records = [claim(f"label-{number}", at=NOW, text="x" * (TEXT_BYTES // 2)) for number in range(10)]
    async with streaming(tmp_path) as (pipe, streams):
        reader = Reader(streams)
        async with reader.open() as consumer:
            await streams.feed(consumer)
            reader.room = 1
            await pipe.take(*records)
            at_first = len(reader.events)
            cursor, place = streams.cursor(consumer), streams.place(consumer).seq
            await reader.read(consumer)

    assert at_first == place == PIECE_BYTES_AIM // (TEXT_BYTES // 2)
    assert reader.events[at_first - 1]["cursor"] == cursor
    assert [event["seq"] for event in reader.events] == list(range(1, len(records) + 1))


async def test_a_commit_that_takes_long_to_give_leaves_all_consumers_behind_and_each_reads_on(tmp_path: Path) -> None:
    """Otherwise hundreds of streams, each with a selection of its own, hold the loop when a batch comes."""
    names = [f"label-{number}" for number in range(6)]
    async with streaming(tmp_path, busy(GIVING_S_MAX / 4)) as (pipe, streams), AsyncExitStack() as stack:
        readers = [Reader(streams, Selection(labels=frozenset({names[0], name}))) for name in names]
        consumers = [await stack.enter_async_context(reader.open()) for reader in readers]
        for consumer in consumers:
            await streams.feed(consumer)

        await pipe.take(*(claim(name, at=NOW) for name in names))

        assert [each.is_live for each in consumers] == [False] * len(names)
        assert all(each.woken.is_set() for each in consumers)
        for consumer in consumers:
            await streams.feed(consumer)
        assert [each.is_live for each in consumers] == [True] * len(names)
    assert [sorted(reader.labels) for reader in readers] == [[names[0]], *([names[0], name] for name in names[1:])]


async def test_a_consumer_that_fell_far_behind_reads_on_from_the_store(tmp_path: Path) -> None:
    """More events than stay in memory are written while the consumer has no room."""
    count = RECENT_BYTES_MAX // TEXT_BYTES + 2 * PAGE_EVENTS_MIN
    async with streaming(tmp_path) as (pipe, streams):
        reader = Reader(streams)
        async with reader.open() as consumer:
            await streams.feed(consumer)
            reader.room = 1
            for start in range(0, count, 20):
                labels = [f"label-{number}" for number in range(start, min(start + 20, count))]
                await pipe.take(*(claim(label, at=NOW, text="x" * TEXT_BYTES) for label in labels))
            behind = len(reader.events)
            await reader.read(consumer)

    assert behind < 20
    assert [event["seq"] for event in reader.events] == list(range(1, count + 1))


async def test_consumers_that_read_from_the_store_together_hold_few_pages_in_memory(tmp_path: Path) -> None:
    """Each of them had a page of 1 MB, and its frames, for as long as it waited for its next one."""
    page_bytes, consumers = PAGE_EVENTS_MIN * TEXT_BYTES, 24
    async with streaming(tmp_path) as (pipe, streams), AsyncExitStack() as stack:
        labels = [f"label-{number}" for number in range(2 * PAGE_EVENTS_MIN)]
        await pipe.take(*(claim(label, at=NOW, text="x" * TEXT_BYTES) for label in labels))
        opened = [
            await stack.enter_async_context(streams.open(EVERYTHING, lined, "0", lambda _: True, None))
            for _ in range(consumers)
        ]
        tracemalloc.start()
        await asyncio.gather(*map(streams.feed, opened))
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert {streams.place(consumer).seq for consumer in opened} == {len(labels)}
    assert peak_bytes < 4 * PAGES_AT_ONCE_MAX * page_bytes < consumers * page_bytes


async def test_a_caller_that_reads_much_from_the_store_is_slowed_down_at_each_page(tmp_path: Path) -> None:
    pauses = []

    async def pause() -> None:
        pauses.append(1)

    async with streaming(tmp_path) as (pipe, streams):
        await pipe.take(*(claim(f"label-{number}", at=NOW) for number in range(2 * PAGE_EVENTS_MIN)))
        reader = Reader(streams)
        async with reader.open("0") as consumer:
            READ_COST.set(ReadCost(pause))
            await streams.feed(consumer)

    assert len(reader.events) == 2 * PAGE_EVENTS_MIN
    assert len(pauses) == 2


async def test_a_place_moves_on_past_events_that_are_not_wanted(tmp_path: Path) -> None:
    async with streaming(tmp_path) as (pipe, streams):
        reader = Reader(streams, Selection(labels=frozenset({"mine"})))
        await pipe.take(claim("before", at=NOW))
        async with reader.open("0") as consumer:
            await streams.feed(consumer)
            stored = streams.place(consumer)
            await pipe.take(claim("after", at=NOW))
            live = streams.place(consumer)

    assert (stored.seq, live.seq, reader.events) == (1, 2, [])


async def test_any_number_of_unwanted_events_in_the_store_is_passed_over(tmp_path: Path) -> None:
    """One read of the store looks at a limited number of events, and the next read goes on from there."""
    other = claim("other", at=1)
    async with pipeline(tmp_path) as pipe:
        await pipe.take(claim("mine", at=NOW))
        await pipe.take(other, origin=PEER)
        again = Event(EventType.REVERTED, other, previous=other.id, reason="so that there are many")
        await pipe.store.commit(Batch(events=[again] * SEARCHED_EVENTS_MAX))
    async with streaming(tmp_path) as (pipe, streams):
        await pipe.take(claim("mine", at=NOW + 1), claim("other", at=NOW))
        reader = Reader(streams, Selection(labels=frozenset({"mine"})))
        async with reader.open("0") as consumer:
            await streams.feed(consumer)
            place = streams.place(consumer)

    assert len(reader.events) == 2
    assert place.seq == SEARCHED_EVENTS_MAX + 4


async def test_a_reversal_is_told_with_the_head_before_and_the_reason(tmp_path: Path) -> None:
    founded, older = claim("garden", at=NOW), claim("garden", by=BOB, at=NOW - 10)
    async with streaming(tmp_path) as (pipe, streams):
        reader = Reader(streams)
        async with reader.open() as consumer:
            await streams.feed(consumer)
            await pipe.take(founded)
            await pipe.take(older, origin=PEER)

    told = [(event["seq"], event["type"], event["id"], event.get("previous")) for event in reader.events]
    assert told == [(1, "accepted", founded.id, None), (2, "reverted", older.id, founded.id)]
    assert "rival" in reader.events[1]["reason"]


async def test_a_record_that_waited_for_its_predecessor_is_told_with_the_signature_it_was_stored_with(
    tmp_path: Path,
) -> None:
    first = claim("garden", at=NOW - 10)
    second = claim("garden", at=NOW, prev=first)
    async with streaming(tmp_path) as (pipe, streams):
        reader = Reader(streams)
        async with reader.open() as consumer:
            await streams.feed(consumer)
            await pipe.take(second, origin=PEER)
            await pipe.take(first, origin=PEER)
        again = Reader(streams)
        async with again.open("0") as consumer:
            await streams.feed(consumer)

    assert [event["id"] for event in reader.events] == [first.id, second.id]
    assert reader.events == again.events


async def test_a_cursor_holds_over_a_restart(tmp_path: Path) -> None:
    async with streaming(tmp_path) as (pipe, streams):
        await pipe.take(claim("one", at=NOW), claim("two", at=NOW))
        reader = Reader(streams)
        async with reader.open("0") as consumer:
            await streams.feed(consumer)
    async with streaming(tmp_path) as (pipe, streams):
        await pipe.take(claim("three", at=NOW))
        for event in reader.events:
            later = Reader(streams)
            async with later.open(event["cursor"]) as consumer:
                await streams.feed(consumer)
            assert [each["seq"] for each in later.events] == list(range(event["seq"] + 1, 4))


async def test_a_cursor_from_before_a_restored_backup_is_unknown_although_the_epoch_is_the_same(
    tmp_path: Path,
) -> None:
    """The same numbers belong to other events now. To go on from there would skip some of them silently."""
    node, backup = tmp_path / "node", tmp_path / "backup"
    node.mkdir()
    async with streaming(node) as (pipe, streams):
        await pipe.take(claim("one", at=NOW))
        kept = streams.last.cursor(pipe.store.epoch)
    shutil.copytree(node, backup)
    async with streaming(node) as (pipe, streams):
        await pipe.take(claim("two", at=NOW))
        lost = streams.last.cursor(pipe.store.epoch)
        await pipe.take(claim("three", at=NOW))
        ahead = streams.last.cursor(pipe.store.epoch)
    async with streaming(backup) as (pipe, streams):
        await pipe.take(claim("four", at=NOW))
        async with Reader(streams).open(kept) as consumer:
            assert consumer.place.seq == 1
        for cursor in (lost, ahead):
            with pytest.raises(ProtocolError, check=refused_as(Code.CURSOR_UNKNOWN)):
                async with Reader(streams).open(cursor):
                    pass


async def test_the_cursor_of_an_empty_store_is_valid_for_that_store_only(tmp_path: Path) -> None:
    async with streaming(tmp_path) as (pipe, streams):
        cursor = streams.last.cursor(pipe.store.epoch)
        await pipe.take(claim("one", at=NOW))
        async with Reader(streams).open(cursor) as consumer:
            begin = consumer.place
        with pytest.raises(ProtocolError, check=refused_as(Code.CURSOR_UNKNOWN)):
            async with Reader(streams).open(BEGINNING.cursor(OTHER_EPOCH)):
                pass

    assert begin == BEGINNING


async def test_one_consumer_past_the_limit_is_refused_as_overloaded(tmp_path: Path) -> None:
    async with streaming(tmp_path, streams_max=2) as (_, streams):
        async with Reader(streams).open(), Reader(streams).open():
            with pytest.raises(ProtocolError, check=refused_as(Code.OVERLOADED)):
                async with Reader(streams).open():
                    pass
        async with Reader(streams).open(), Reader(streams).open():
            assert len(streams) == 2
    assert len(streams) == 0


async def test_strangers_take_three_quarters_of_the_streams(tmp_path: Path) -> None:
    async with streaming(tmp_path, streams_max=4) as (_, streams), AsyncExitStack() as stack:
        for number in range(3):
            await stack.enter_async_context(Reader(streams).open(address=f"192.0.2.{number}"))
        with pytest.raises(ProtocolError, check=refused_as(Code.OVERLOADED)):
            async with Reader(streams).open(address=ADDRESS):
                pass
        async with Reader(streams).open():
            assert len(streams) == 4


async def test_one_consumer_past_the_limit_of_its_address_is_rate_limited_and_others_are_not(tmp_path: Path) -> None:
    async with streaming(tmp_path, streams_per_address_max=1) as (_, streams):
        async with Reader(streams).open(address=ADDRESS):
            with pytest.raises(ProtocolError, check=refused_as(Code.RATE_LIMITED)):
                async with Reader(streams).open(address=ADDRESS):
                    pass
            async with Reader(streams).open(address=OTHER_ADDRESS), Reader(streams).open(), Reader(streams).open():
                pass
        async with Reader(streams).open(address=ADDRESS):
            pass


async def test_a_refused_cursor_takes_no_place(tmp_path: Path) -> None:
    async with streaming(tmp_path, streams_max=1, streams_per_address_max=1) as (_, streams):
        for _ in range(2):
            with pytest.raises(ProtocolError, check=refused_as(Code.MALFORMED)):
                async with Reader(streams).open("nonsense", ADDRESS):
                    pass

    assert len(streams) == 0


async def test_closed_streams_end_their_consumers_and_admit_no_more(tmp_path: Path) -> None:
    async with streaming(tmp_path) as (pipe, streams):
        await pipe.take(claim("one", at=NOW))
        reader = Reader(streams)
        async with reader.open("0") as consumer:
            streams.close()
            await streams.feed(consumer)
            assert consumer.ending is not None
            assert (consumer.ending.code, consumer.woken.is_set()) == (Code.STOPPING, True)
        with pytest.raises(ProtocolError, check=refused_as(Code.STOPPING)):
            async with reader.open():
                pass

    assert reader.events == []


async def test_a_domain_that_is_no_longer_supported_is_not_shown(tmp_path: Path) -> None:
    async with streaming(tmp_path) as (pipe, _):
        await pipe.take(claim("one", at=NOW, domain="left"), claim("one", at=NOW, domain="kept"))
    async with streaming(tmp_path, domains=["kept"]) as (_, streams):
        asked = [None, frozenset({"left"}), frozenset({"kept", "left"})]
        readers = [Reader(streams, streams.within_shown(Selection(domains))) for domains in asked]
        for reader in readers:
            async with reader.open("0") as consumer:
                await streams.feed(consumer)

    shown = [[event["domain"] for event in reader.events] for reader in readers]
    assert shown == [["kept"], [], ["kept"]]
