"""An event as consumers get it: its spelling, its cursor, and how many recent events are kept."""

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
OTHER_EPOCH = "f" * 32
DIGEST = "a" * 32
EVENT_BYTES = 1_000
"""What an event counts for beside its record."""


def streamed(
    seq: int = 1, text_bytes: int = 0, label: str = "garden", move: EventType = EventType.ACCEPTED, **event: str
) -> StreamedEvent:
    """The event number `seq`, about a record with a text of this size. `event` names the head that a reversal takes
    back.
    """
    record = claim(label, at=seq, text="x" * text_bytes)
    moved = Event(EventType.REVERTED if event else move, record, **event)
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


def test_a_reversal_names_the_head_before_and_says_why() -> None:
    shown = json.loads(streamed(previous=NOWHERE, reason='an "older" one').json)

    assert (shown["type"], shown["previous"], shown["reason"]) == ("reverted", NOWHERE, 'an "older" one')


def test_all_consumers_share_the_bytes_of_an_event() -> None:
    event = streamed()

    def framing(event: StreamedEvent) -> bytes:
        return event.json + b"\n"

    assert event.frame(framing) is event.frame(framing)


PLACE = Place(7, "a" * 64)
OTHERS = {
    "another number": (Place(8, PLACE.record_id), EPOCH),
    "another record": (Place(7, "b" * 64), EPOCH),
    "another store": (PLACE, OTHER_EPOCH),
}


@pytest.mark.parametrize(("place", "epoch"), OTHERS.values(), ids=OTHERS.keys())
def test_a_cursor_depends_on_number_record_and_store(place: Place, epoch: str) -> None:
    assert place.cursor(epoch) != PLACE.cursor(EPOCH) == PLACE.cursor(EPOCH)


@pytest.mark.parametrize("place", [BEGINNING, PLACE, Place(10**15, "a" * 64)])
def test_the_number_can_be_read_from_a_cursor(place: Place) -> None:
    assert seq_of_cursor(place.cursor(EPOCH)) == place.seq


NO_CURSORS = {
    "nothing": "",
    "a number alone": "7",
    "a digest alone": DIGEST,
    "a leading zero": "07-" + DIGEST,
    "a number past all others": "1" * 17 + "-" + DIGEST,
    "a negative number": "-7-" + DIGEST,
    "digits of another script": "\u0667-" + DIGEST,
    "a short digest": "7-" + DIGEST[1:],
    "a long digest": "7-" + DIGEST + "a",
    "capitals": "7-" + DIGEST.upper(),
    "a line feed": "7-" + DIGEST + "\n",
}


@pytest.mark.parametrize("cursor", NO_CURSORS.values(), ids=NO_CURSORS.keys())
def test_any_text_that_is_no_cursor_is_malformed(cursor: str) -> None:
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
def test_a_selection_takes_events_that_match_a_domain_and_a_label_of_it(selection: Selection, is_taken: bool) -> None:
    assert selection.takes(EventType.ACCEPTED, "example", "garden") is is_taken


@pytest.mark.parametrize("event_type", EventType)
def test_a_selection_of_final_events_takes_no_others(event_type: EventType) -> None:
    selection = Selection(labels=frozenset({"garden"}), only_final=True)

    assert selection.takes(event_type, "example", "garden") is (event_type is EventType.FINAL)
    assert not selection.takes(event_type, "example", "house")


def test_recent_events_are_kept_up_to_the_limit_and_not_one_byte_past_it() -> None:
    events = [streamed(seq, 500) for seq in range(1, 4)]
    size_bytes = 3 * (events[0].size_bytes + EVENT_BYTES)
    whole, short = Recent(size_bytes), Recent(size_bytes - 1)

    for event in events:
        whole.add(event)
        short.add(event)

    assert whole.after(0, 10) == events
    assert whole.after(1, 1) == events[1:2]
    assert short.after(0, 10) == []
    assert short.after(1, 10) == events[1:]
    assert short.size_bytes <= size_bytes - 1


def test_cleared_events_leave_room_for_others() -> None:
    recent = Recent(10_000)
    recent.add(streamed(1))

    recent.clear()

    assert (recent.size_bytes, recent.after(0, 10)) == (0, [])


@given(st.lists(st.integers(0, 3_000), max_size=30), st.integers(1, 5_000))
def test_pieces_hold_all_events_in_order_within_the_aim_unless_one_event_is_larger(
    sizes_bytes: list[int], size_bytes_aim: int
) -> None:
    events = [streamed(seq, size_bytes) for seq, size_bytes in enumerate(sizes_bytes, start=1)]

    cut = list(pieces(events, size_bytes_aim))

    assert [event for piece in cut for event in piece] == events
    assert all(len(piece) == 1 or sum(event.size_bytes for event in piece) <= size_bytes_aim for piece in cut)
