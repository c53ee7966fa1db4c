"""What waits to be sent: in order, each once, until it has gone."""

from protocol.link.send_queues import Batch, IdQueue, PassQueue
from protocol.sets.index import Index, pack_key
from protocol.sets.walk import before


def queue(*entries: tuple[str, int]) -> IdQueue:
    line = IdQueue()
    for record_id, hops in entries:
        line.add(record_id, hops)
    return line


def test_a_batch_stays_in_line_until_it_has_gone() -> None:
    line = queue(("a", 1), ("b", 1), ("c", 1))

    first = line.batch(2)
    again = line.batch(2)
    line.settle(Batch(("a", "b")), 1)

    assert first == again == Batch(("a", "b"), 1)
    assert line.batch(2) == Batch(("b", "c"), 1)


def test_what_waits_already_keeps_its_place_and_its_hops() -> None:
    line = queue(("a", 1), ("b", 2), ("a", 9))

    assert line.batch(5) == Batch(("a", "b"), 2)


def test_news_and_what_is_none_never_share_a_frame() -> None:
    line = queue(("a", 0), ("b", 0), ("c", 3), ("d", 1), ("e", 0))
    batches = []

    while (batch := line.batch(5)) is not None:
        line.settle(batch, len(batch.ids))
        batches.append(batch)

    assert batches == [Batch(("a", "b"), 0), Batch(("c", "d"), 3), Batch(("e",), 0)]


def test_a_line_that_is_let_go_leaves_its_oldest_timestamps() -> None:
    line = IdQueue()
    for record_id, domain, timestamp in (("a", "x", 9), ("b", "y", 5), ("c", "x", 4), ("d", "x", 7)):
        line.add(record_id, 1, domain, timestamp)

    oldest = line.clear()

    assert (oldest, len(line), line.batch(5)) == ({"x": 4, "y": 5}, 0, None)


KEYS = [pack_key(timestamp, bytes([timestamp]) * 32) for timestamp in range(1, 9)]
IDS = [key[8:].hex() for key in KEYS]


def walks(needless: frozenset[str] = frozenset()) -> PassQueue:
    index = Index(KEYS)
    return PassQueue({"a": index, "b": index}.get, needless.__contains__)


def all_of(line: PassQueue, size: int) -> list[str]:
    ids: list[str] = []
    while (batch := line.batch(size)) is not None:
        line.settle(batch, len(batch.ids))
        ids += batch.ids
    return ids


def test_a_pass_brings_everything_from_its_begin_on_oldest_first() -> None:
    line = walks()

    line.begin("a", before(3), is_answer=True)

    assert line.batch(2) == Batch(tuple(IDS[2:4]), 0, "a", is_answer=True)
    assert all_of(line, 3) == IDS[2:]


def test_what_did_not_go_comes_again() -> None:
    line = walks()
    line.begin("a", b"", is_answer=False)

    batch = line.batch(5)
    assert batch is not None
    line.settle(batch, 2)

    assert all_of(line, 5) == IDS[2:]


def test_what_the_peer_has_is_left_out_however_many_pages_it_fills() -> None:
    line = walks(needless=frozenset(IDS[1:7]))

    line.begin("a", b"", is_answer=False)

    assert all_of(line, 2) == [IDS[0], IDS[7]]


def test_a_pass_that_began_anew_while_a_batch_was_loaded_begins_at_its_begin() -> None:
    line = walks()
    line.begin("a", before(5), is_answer=False)
    batch = line.batch(2)
    assert batch is not None

    line.begin("a", before(2), is_answer=False)
    line.settle(batch, 2)

    assert all_of(line, 3) == IDS[1:]


def test_reaching_back_takes_a_pass_back_and_never_on() -> None:
    line = walks()
    line.begin("a", before(5), is_answer=True)

    line.reach_back("a", before(7))
    further_on = line.batch(1)
    line.reach_back("a", before(2))
    line.reach_back("b", before(8))

    assert further_on == Batch((IDS[4],), 0, "a", is_answer=True)
    assert all_of(line, 3) == IDS[1:]
    line.stop("a")
    assert all_of(line, 3) == IDS[7:]


def test_a_domain_of_which_nothing_is_held_is_through_at_once() -> None:
    line = walks()

    line.begin("nothing", b"", is_answer=True)

    assert line.batch(5) is None
