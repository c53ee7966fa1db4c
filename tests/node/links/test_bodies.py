"""Recent bodies are bounded, by count and by bytes, and the oldest leaves first."""

from node.links.bodies import Bodies
from protocol.records.record import SignedRecord
from tests.history import claim, signed


def entry(number: int, size: int = 0) -> SignedRecord:
    return signed(claim(f"label-{number:03}", filling="x" * size))


def test_what_is_recent_is_given_by_id_and_what_is_not_is_left_out() -> None:
    bodies = Bodies()
    bodies.add([entry(1), entry(2)])

    assert bodies.get([entry(2).record.id, entry(3).record.id]) == {entry(2).record.id: entry(2)}


def test_one_record_more_than_may_be_kept_drives_the_oldest_out() -> None:
    bodies = Bodies(records_max=3)
    bodies.add([entry(number) for number in range(3)])
    whole = len(bodies)
    bodies.add([entry(3)])

    assert (whole, len(bodies)) == (3, 3)
    assert [entry(number).record.id in bodies for number in range(4)] == [False, True, True, True]


def test_one_byte_more_than_may_be_kept_drives_the_oldest_out() -> None:
    size = len(entry(0, 100).record.canonical)
    bodies = Bodies(bytes_max=2 * size)
    bodies.add([entry(0, 100), entry(1, 100)])
    whole = len(bodies)
    bodies.add([entry(2, 101)])

    assert (whole, len(bodies), bodies.size_bytes) == (2, 1, size + 1)
    assert entry(2, 101).record.id in bodies


def test_a_record_that_comes_again_is_counted_once() -> None:
    bodies = Bodies()
    bodies.add([entry(1)])
    bodies.add([entry(1), entry(1)])

    assert (len(bodies), bodies.size_bytes) == (1, len(entry(1).record.canonical))
