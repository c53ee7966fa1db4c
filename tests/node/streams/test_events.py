"""An event as consumers get it: its spelling, its cursor, and how many of late are kept."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.store.contract import Selection, StoredEvent
from node.streams.events import BEGINNING, Place, Recent, StreamedEvent, pieces, seq_of_cursor
from protocol.errors import Code, ProtocolError
from protocol.records.change import Event, EventType
from tests.history import ALICE, NOWHERE, claim, signed

EPOCH = "e" * 32


def streamed(seq: int = 1, size_bytes: int = 0, label: str = "garden", **event: str) -> StreamedEvent:
    record = claim(label, at=seq, text="x" * size_bytes)
    moved = Event(EventType.REVERTED if event else EventType.ACCEPTED, record, **event)
    return StreamedEvent(EPOCH, StoredEvent(seq, moved, signed(record).signature))


def test_an_event_is_one_line_of_json_with_the_record_in_its_canonical_bytes() -> None:
    record = claim('a"b\\c', at=7)
    event = StreamedEvent(EPOCH, StoredEvent(7, Event(EventType.ACCEPTED, record), signed(record).signature))

    assert list(json.loads(event.json).items()) == [
        ("seq", 7),
        ("cursor", Place(7, record.id).cursor(EPOCH)),
        ("type", "accepted"),
        ("domain", "example"),
        ("label", 'a"b\\c'),
        ("id", record.id),
        ("signature", signed(record).signature),
        ("record", {"domain": "example", "label": 'a"b\\c', "signedby": ALICE.public, "timestamp": 7}),
    ]
    assert event.json.endswith(record.canonical + b"}")
    assert b"\n" not in event.json


def test_a_reversal_names_the_head_that_was_taken_back_and_says_why() -> None:
    shown = json.loads(streamed(previous=NOWHERE, reason='an "older" one').json)

    assert (shown["type"], shown["previous"], shown["reason"]) == ("reverted", NOWHERE, 'an "older" one')


def test_all_consumers_share_the_bytes_of_an_event() -> None:
    event = streamed()

    def form(event: StreamedEvent) -> bytes:
        return event.json + b"\n"

    assert event.frame(form) is event.frame(form)


PLACE = Place(7, "a" * 64)
OTHERS = {
    "another number": (Place(8, PLACE.record_id), EPOCH),
    "another record": (Place(7, "b" * 64), EPOCH),
    "another store": (PLACE, "f" * 32),
}


@pytest.mark.parametrize(("place", "epoch"), OTHERS.values(), ids=OTHERS.keys())
def test_a_cursor_is_bound_to_number_record_and_store(place: Place, epoch: str) -> None:
    assert place.cursor(epoch) != PLACE.cursor(EPOCH) == PLACE.cursor(EPOCH)


@pytest.mark.parametrize("place", [BEGINNING, PLACE, Place(10**15, "a" * 64)])
def test_a_cursor_tells_its_number(place: Place) -> None:
    assert seq_of_cursor(place.cursor(EPOCH)) == place.seq


NO_CURSORS = {
    "nothing": "",
    "a number alone": "7",
    "a digest alone": "a" * 32,
    "a leading zero": "07-" + "a" * 32,
    "a number past all others": "1" * 17 + "-" + "a" * 32,
    "a negative number": "-7-" + "a" * 32,
    "digits of another script": "\u0667-" + "a" * 32,
    "a short digest": "7-" + "a" * 31,
    "a long digest": "7-" + "a" * 33,
    "capitals": "7-" + "A" * 32,
    "a line feed": "7-" + "a" * 32 + "\n",
}


@pytest.mark.parametrize("cursor", NO_CURSORS.values(), ids=NO_CURSORS.keys())
def test_what_is_no_cursor_is_malformed(cursor: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        seq_of_cursor(cursor)

    assert refused.value.code is Code.MALFORMED


SELECTIONS = [
    (Selection(), True),
    (Selection(domains=frozenset({"example"})), True),
    (Selection(domains=frozenset({"other", "example"}), labels=frozenset({"garden"})), True),
    (Selection(labels=frozenset({"garden", "house"})), True),
    (Selection(domains=frozenset({"other"})), False),
    (Selection(labels=frozenset({"house"})), False),
    (Selection(domains=frozenset({"other"}), labels=frozenset({"garden"})), False),
    (Selection(domains=frozenset({"example"}), labels=frozenset({"house"})), False),
    (Selection(domains=frozenset()), False),
]


@pytest.mark.parametrize(("selection", "is_taken"), SELECTIONS)
def test_a_selection_takes_any_of_its_domains_that_is_also_any_of_its_labels(
    selection: Selection, is_taken: bool
) -> None:
    assert selection.takes("example", "garden") is is_taken


def test_late_events_are_kept_up_to_their_limit_and_not_one_byte_past_it() -> None:
    events = [streamed(seq, 500) for seq in range(1, 4)]
    size_bytes = 3 * events[0].size_bytes + 3_000
    whole, short = Recent(size_bytes), Recent(size_bytes - 1)

    for event in events:
        whole.add(event)
        short.add(event)

    assert whole.after(0, 10) == events
    assert whole.after(1, 1) == events[1:2]
    assert short.after(0, 10) == []
    assert short.after(1, 10) == events[1:]
    assert short.size_bytes <= size_bytes - 1


def test_late_events_that_were_forgotten_leave_room_for_others() -> None:
    recent = Recent(10_000)
    recent.add(streamed(1))

    recent.clear()

    assert (recent.size_bytes, recent.after(0, 10)) == (0, [])


@given(st.lists(st.integers(0, 3_000), max_size=30), st.integers(1, 5_000))
def test_pieces_hold_all_events_in_order_and_no_more_bytes_than_they_should(
    sizes_bytes: list[int], size_bytes_aim: int
) -> None:
    events = [streamed(seq, size_bytes) for seq, size_bytes in enumerate(sizes_bytes, start=1)]

    cut = list(pieces(events, size_bytes_aim))

    assert [event for piece in cut for event in piece] == events
    assert all(len(piece) == 1 or sum(event.size_bytes for event in piece) <= size_bytes_aim for piece in cut)
