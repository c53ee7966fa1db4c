"""The send queues keep the order of their records, and keep each record once until it is sent."""

from protocol.link.send_queues import IdQueue, PassQueue, QueuedBatch, SendQueues
from protocol.sets.index import Index, key_id, pack_key
from protocol.sets.paging import before


def queue_of(**hops: int) -> IdQueue:
    """A queue of these ids with their hops, in this order."""
    queue = IdQueue()
    for record_id, count in hops.items():
        queue.add(record_id, count)
    return queue


def test_a_batch_stays_in_its_queue_until_it_is_sent() -> None:
    queue = queue_of(a=1, b=1, c=1)

    first = queue.batch(2)
    again = queue.batch(2)
    queue.settle(QueuedBatch(("a", "b")), 1)

    assert first == again == QueuedBatch(("a", "b"), 1)
    assert queue.batch(2) == QueuedBatch(("b", "c"), 1)


def test_an_id_that_is_queued_already_keeps_its_place_and_its_hops() -> None:
    queue = queue_of(a=1, b=2)

    queue.add("a", 9)

    assert queue.batch(5) == QueuedBatch(("a", "b"), hops=2)


def test_a_frame_carries_either_live_records_or_others() -> None:
    queue = queue_of(a=0, b=0, c=3, d=1, e=0)
    batches = []

    while (batch := queue.batch(5)) is not None:
        queue.settle(batch, len(batch.ids))
        batches.append(batch)

    assert batches == [QueuedBatch(("a", "b"), hops=0), QueuedBatch(("c", "d"), hops=3), QueuedBatch(("e",), hops=0)]


def test_a_queue_that_is_cleared_names_the_oldest_timestamp_of_each_domain() -> None:
    queue = IdQueue()
    for record_id, domain, timestamp in (("a", "x", 9), ("b", "y", 5), ("c", "x", 4), ("d", "x", 7)):
        queue.add(record_id, hops=1, domain=domain, timestamp=timestamp)

    oldest = queue.clear()

    assert (oldest, len(queue), queue.batch(5)) == ({"x": 4, "y": 5}, 0, None)


KEYS = [pack_key(timestamp, bytes([timestamp]) * 32) for timestamp in range(1, 9)]
"""Keys with the timestamps 1 to 8."""

IDS = [key_id(key).hex() for key in KEYS]


def passes_of(needless: frozenset[str] = frozenset()) -> PassQueue:
    """Passes through two domains, `a` and `b`, that hold the same keys."""
    index = Index(KEYS)
    return PassQueue({"a": index, "b": index}.get, lambda ids: [each for each in ids if each not in needless])


def rest_of(passes: PassQueue, size: int) -> list[str]:
    """All ids that the first pass has still to send, taken in batches of this size."""
    ids: list[str] = []
    while (batch := passes.batch(size)) is not None:
        passes.settle(batch, len(batch.ids))
        ids += batch.ids
    return ids


def test_a_pass_sends_everything_from_its_beginning_on_oldest_first() -> None:
    passes = passes_of()

    passes.begin("a", before(3), is_answer=True)

    assert passes.batch(2) == QueuedBatch(tuple(IDS[2:4]), 0, "a", is_answer=True)
    assert rest_of(passes, 3) == IDS[2:]


def test_an_id_that_was_not_sent_comes_again() -> None:
    size, sent = 5, 2
    passes = passes_of()
    passes.begin("a", b"", is_answer=False)

    batch = passes.batch(size)
    assert batch is not None
    passes.settle(batch, sent)

    assert rest_of(passes, size) == IDS[sent:]


def test_ids_that_the_peer_has_are_left_out_even_if_they_fill_pages() -> None:
    passes = passes_of(needless=frozenset(IDS[1:7]))

    passes.begin("a", b"", is_answer=False)

    assert rest_of(passes, 2) == [IDS[0], IDS[7]]


def test_a_pass_that_began_again_during_a_load_does_not_skip_the_loaded_ids() -> None:
    passes = passes_of()
    passes.begin("a", before(5), is_answer=False)
    batch = passes.batch(2)
    assert batch is not None

    passes.begin("a", before(2), is_answer=False)
    passes.settle(batch, 2)

    assert rest_of(passes, 3) == IDS[1:]


def test_reaching_back_moves_a_pass_back_and_never_forward() -> None:
    passes = passes_of()
    passes.begin("a", before(5), is_answer=True)

    passes.reach_back("a", before(7))
    batch_after_a_later_key = passes.batch(1)
    passes.reach_back("a", before(2))
    passes.reach_back("b", before(8))

    assert batch_after_a_later_key == QueuedBatch((IDS[4],), 0, "a", is_answer=True)
    assert rest_of(passes, 3) == IDS[1:]
    passes.stop("a")
    assert rest_of(passes, 3) == IDS[7:]


def test_a_pass_through_a_domain_that_is_not_held_sends_nothing() -> None:
    passes = passes_of()

    passes.begin("unknown", b"", is_answer=True)

    assert passes.batch(5) is None


def test_a_pass_is_over_when_its_last_frame_is_acknowledged() -> None:
    passes = passes_of()
    passes.begin("a", b"", is_answer=False)

    last_seq = 7
    passes.wait_for_ack("a", seq=last_seq)
    acked_too_early = passes.take_acked(last_seq - 1)
    is_going_on = "a" in passes
    acked = passes.take_acked(last_seq)

    assert (acked_too_early, is_going_on, acked, passes.is_over) == ([], True, ["a"], True)


def test_the_queues_take_turns() -> None:
    queues = SendQueues(lambda domain: None, lambda ids: ids)
    turns = []

    for _ in range(4):
        first = queues.in_turn()[0]
        queues.had_turn(first)
        turns.append(first)

    assert turns == [queues.live, queues.owed, queues.passes, queues.live]
