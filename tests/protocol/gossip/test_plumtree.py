"""The machine of one node: what it sends, announces and asks for, one event after another."""

from random import Random

import pytest

from protocol.gossip.missing import ASKS_MAX, SPREAD
from protocol.gossip.plumtree import ANSWER_EACH_S, Plumtree, PlumtreeLimits, SendHave, SendPrune, SendRecords, SendWant
from protocol.gossip.timing import FIRST_S
from protocol.limits import IDS_MAX

A, B, C = range(3)
"""Links."""

CLIENT = None
"""The source of a record that a client wrote, in the place of a link."""

FIRST_WAIT_S = (1 + SPREAD) * FIRST_S
"""The longest time that a node waits for an announced record while it knows no round trip."""


def record(number: int) -> str:
    return f"{number:064x}"


def ids(*numbers: int) -> tuple[str, ...]:
    return tuple(map(record, numbers))


def machine(*links: int, **limits: float) -> Plumtree:
    """The machine of one node that has these links, all of them eager."""
    gossip = Plumtree(PlumtreeLimits(**limits), Random(1))  # type: ignore[arg-type]
    for link in links:
        gossip.on_up(link)
    return gossip


def lacks(record_id: str) -> bool:
    """The node holds no record."""
    return True


def asks(gossip: Plumtree) -> list[tuple[int, tuple[str, ...]]]:
    """Run all timers. Returns the links that the node asked, with the ids of each `want`."""
    asked = []
    while (now := gossip.next_at) is not None:
        asked += [(output.link, output.ids) for output in gossip.on_time(now) if isinstance(output, SendWant)]
    return asked


def make_lazy(gossip: Plumtree, *links: int) -> None:
    for link in links:
        gossip.on_prune(link)


# The tree.


def test_live_records_are_pushed_over_every_eager_link_with_one_hop_more() -> None:
    gossip = machine(A, B, C)

    outputs = gossip.on_records(ids(0, 1), hops=4, source=B, now=0)

    assert outputs == [SendRecords(A, ids(0, 1), hops=5), SendRecords(C, ids(0, 1), hops=5)]


def test_a_record_that_a_client_wrote_leaves_with_one_hop() -> None:
    gossip = machine(A)

    assert gossip.on_records(ids(0), hops=0, source=CLIENT, now=0) == [SendRecords(A, ids(0), hops=1)]


def test_live_records_are_announced_together_over_a_lazy_link_after_the_gathering_time() -> None:
    begin, gather_s = 5.0, 0.01
    gossip = machine(A, B, gather_s=gather_s)
    make_lazy(gossip, B)

    pushed = [
        *gossip.on_records(ids(0), hops=1, source=A, now=begin),
        *gossip.on_records(ids(1), hops=1, source=A, now=begin + gather_s / 2),
    ]
    due_at = gossip.next_at
    announced = gossip.on_time(begin + gather_s)

    assert (pushed, due_at, announced, gossip.next_at) == (
        [],
        begin + gather_s,
        [SendHave(B, ids(0, 1), hops=2)],
        None,
    )


def test_records_with_different_hops_are_announced_in_separate_frames() -> None:
    gossip = machine(A, B, C)
    make_lazy(gossip, C)

    gossip.on_records(ids(0), hops=1, source=A, now=0)
    gossip.on_records(ids(1), hops=3, source=B, now=0)

    assert gossip.on_time(1) == [SendHave(C, ids(0), hops=2), SendHave(C, ids(1), hops=4)]


def test_a_full_frame_of_announcements_leaves_at_once() -> None:
    gossip = machine(A)
    make_lazy(gossip, A)

    at_once = gossip.on_records(ids(*range(IDS_MAX + 1)), hops=0, source=CLIENT, now=0)
    later = gossip.on_time(1)

    assert (at_once, later) == ([SendHave(A, ids(*range(IDS_MAX)), hops=1)], [SendHave(A, ids(IDS_MAX), hops=1)])


def test_without_a_gathering_time_a_record_is_announced_at_once() -> None:
    gossip = machine(A, gather_s=0)
    make_lazy(gossip, A)

    assert (gossip.on_records(ids(0), hops=0, source=CLIENT, now=0), gossip.next_at) == (
        [SendHave(A, ids(0), hops=1)],
        None,
    )


def test_records_that_are_not_live_are_announced_on_all_links_and_pushed_on_no_link() -> None:
    gossip = machine(A, B, C, gather_s=0)
    make_lazy(gossip, B)

    assert gossip.on_records(ids(0), hops=3, source=A, now=0, is_live=False) == [
        SendHave(B, ids(0), hops=0),
        SendHave(C, ids(0), hops=0),
    ]


def test_a_record_that_arrives_again_prunes_the_link() -> None:
    gossip = machine(A, B)
    gossip.on_records(ids(0), hops=1, source=A, now=0)

    outputs = gossip.on_duplicates(ids(0), hops=1, source=B, now=0)

    assert (outputs, gossip.is_eager(A), gossip.is_eager(B)) == ([SendPrune(B)], True, False)


HARMLESS_DUPLICATES = {
    "the same link repeats the record": lambda gossip: gossip.on_duplicates(ids(0), hops=1, source=A, now=0),
    "the duplicate came by catch-up": lambda gossip: gossip.on_duplicates(ids(0), hops=0, source=B, now=0),
    "a client wrote the record twice": lambda gossip: gossip.on_duplicates(ids(0), hops=0, source=CLIENT, now=0),
    "the link went down": lambda gossip: (
        gossip.on_down(B, now=0) + gossip.on_duplicates(ids(0), hops=1, source=B, now=0)
    ),
    "the link of the first copy went down": lambda gossip: (
        gossip.on_down(A, now=0) + gossip.on_duplicates(ids(0), hops=1, source=B, now=0)
    ),
    "the link of the first copy is lazy": lambda gossip: (
        gossip.on_prune(A) or gossip.on_duplicates(ids(0), hops=1, source=B, now=0)
    ),
    "the node no longer remembers the record": lambda gossip: gossip.on_duplicates(ids(77), hops=1, source=B, now=0),
}


@pytest.mark.parametrize("case", HARMLESS_DUPLICATES)
def test_a_duplicate_that_shows_no_second_path_prunes_nothing(case: str) -> None:
    gossip = machine(A, B)
    gossip.on_records(ids(0), hops=1, source=A, now=0)

    assert HARMLESS_DUPLICATES[case](gossip) == []


@pytest.mark.parametrize(("source", "is_live"), [(None, True), (A, False)])
def test_a_first_copy_from_a_client_or_from_catch_up_prunes_no_link(source: int | None, is_live: bool) -> None:
    gossip = machine(A, B)
    gossip.on_records(ids(0), hops=1, source=source, now=0, is_live=is_live)

    assert gossip.on_duplicates(ids(0), hops=1, source=B, now=0) == []


def test_of_two_links_that_each_deliver_a_record_first_only_one_is_pruned() -> None:
    gossip = machine(A, B)

    gossip.on_records(ids(0), hops=1, source=A, now=0)
    gossip.on_records(ids(1), hops=1, source=B, now=0)
    outputs = gossip.on_duplicates(ids(0), hops=1, source=B, now=0) + gossip.on_duplicates(
        ids(1), hops=1, source=A, now=0
    )

    assert (outputs, gossip.is_eager(A)) == ([SendPrune(B)], True)


def test_a_prune_is_repeated_only_after_the_first_must_have_arrived() -> None:
    gossip = machine(A, B)
    gossip.on_round_trip(B, 1.0)
    arrived_at = 3.0  # three round trips
    gossip.on_records(ids(0, 1), hops=1, source=A, now=0)

    times = (0, 1, arrived_at - 0.1, arrived_at + 0.1)
    outputs = [gossip.on_duplicates(ids(0), hops=1, source=B, now=now) for now in times]

    assert outputs == [[SendPrune(B)], [], [], [SendPrune(B)]]


def test_a_lazy_link_that_delivers_a_live_record_first_is_eager_again() -> None:
    gossip = machine(A, B)
    make_lazy(gossip, B)

    gossip.on_records(ids(0), hops=1, source=B, now=0)

    assert gossip.is_eager(B)


def test_a_record_sent_before_our_prune_arrived_does_not_make_the_link_eager_again() -> None:
    gossip = machine(A, B)
    gossip.on_records(ids(0), hops=1, source=A, now=0)
    gossip.on_duplicates(ids(0), hops=1, source=B, now=0)

    gossip.on_records(ids(1), hops=1, source=B, now=0.1)

    assert not gossip.is_eager(B)


def test_a_link_without_outflow_sends_nothing() -> None:
    gossip = machine()

    outputs = gossip.on_up(A, has_outflow=False)
    outputs += gossip.on_records(ids(0), hops=0, source=CLIENT, now=0)
    outputs += gossip.on_want(A, ids(0), eager=True)

    assert (outputs, gossip.next_at) == ([], None)


def test_a_link_without_inflow_is_not_asked() -> None:
    gossip = machine()
    gossip.on_up(A, has_inflow=False)

    gossip.on_have(A, ids(0), hops=1, now=0, lacks=lacks)

    assert gossip.missing_count == 0


def test_the_newest_ids_are_announced_to_a_new_link_at_once() -> None:
    gossip = machine(A, greeting_ids_max=4)
    gossip.on_records(ids(0, 1), hops=2, source=A, now=0)
    gossip.on_refused(ids(9))
    gossip.on_records(ids(2), hops=7, source=A, now=0, is_live=False)
    gossip.on_records(ids(3), hops=5, source=A, now=0)

    assert gossip.on_up(B) == [SendHave(B, ids(3, 1), hops=6), SendHave(B, ids(2), hops=0)]


# Asking.


def test_an_announced_record_that_does_not_arrive_is_asked_for() -> None:
    gossip = machine(A, B)
    make_lazy(gossip, A, B)

    gossip.on_have(B, ids(0, 1), hops=3, now=0, lacks=lacks)
    outputs = gossip.on_time(FIRST_WAIT_S)

    assert (outputs, gossip.is_eager(B), gossip.is_eager(A)) == ([SendWant(B, ids(0, 1), eager=True)], True, False)


def test_an_announced_record_that_arrives_in_time_is_not_asked_for() -> None:
    gossip = machine(A, B)
    gossip.on_have(B, ids(0), hops=3, now=0, lacks=lacks)

    gossip.on_records(ids(0), hops=3, source=A, now=0.5)

    assert (asks(gossip), gossip.missing_count) == ([], 0)


def test_a_record_that_is_held_or_was_refused_is_not_asked_for() -> None:
    gossip = machine(A, B)
    gossip.on_have(B, ids(0), hops=1, now=0, lacks=lacks)

    gossip.on_refused(ids(0))
    gossip.on_have(A, ids(0), hops=1, now=0, lacks=lacks)
    gossip.on_have(A, ids(1), hops=1, now=0, lacks=lambda record_id: False)

    assert (asks(gossip), gossip.missing_count) == ([], 0)


def test_asking_for_a_record_that_is_not_live_leaves_the_link_lazy() -> None:
    gossip = machine(A)
    make_lazy(gossip, A)

    gossip.on_have(A, ids(0), hops=0, now=0, lacks=lacks)
    outputs = gossip.on_time(FIRST_WAIT_S)

    assert (outputs, gossip.is_eager(A)) == ([SendWant(A, ids(0), eager=False)], False)


def test_every_announcer_is_asked_in_turn_and_then_the_id_is_given_up() -> None:
    gossip = machine(A, B, C)
    for link in (A, B, C):
        gossip.on_have(link, ids(0), hops=1, now=0, lacks=lacks)

    asked = asks(gossip)

    assert asked == [(link, ids(0)) for link in (A, B, C)] * ASKS_MAX
    assert gossip.missing_count == 0


def test_the_only_announcer_has_twice_the_time_when_it_is_asked_again() -> None:
    gossip = machine(A)
    gossip.on_have(A, ids(0, 1), hops=1, now=0, lacks=lacks)
    times = [FIRST_WAIT_S]

    gossip.on_time(FIRST_WAIT_S)
    while (due_at := gossip.next_at) is not None:
        times.append(due_at)
        gossip.on_time(due_at)

    asked_again = [FIRST_S + ANSWER_EACH_S, FIRST_S + 2 * ANSWER_EACH_S]
    given_up = [at + 2 * (FIRST_S + ANSWER_EACH_S) for at in asked_again]
    assert times[1:] == pytest.approx([FIRST_WAIT_S + wait_s for wait_s in asked_again + given_up])


def test_when_the_link_that_was_asked_goes_down_another_is_asked_at_once() -> None:
    gossip = machine(A, B)
    gossip.on_have(A, ids(0), hops=1, now=0, lacks=lacks)
    gossip.on_have(B, ids(0), hops=1, now=0, lacks=lacks)
    gossip.on_time(FIRST_WAIT_S)

    assert gossip.on_down(A, now=FIRST_WAIT_S) == [SendWant(B, ids(0), eager=True)]


def test_an_id_whose_only_announcer_went_down_is_given_up() -> None:
    gossip = machine(A)
    gossip.on_have(A, ids(0), hops=1, now=0, lacks=lacks)
    gossip.on_time(FIRST_WAIT_S)

    assert (gossip.on_down(A, now=FIRST_WAIT_S), gossip.missing_count, gossip.next_at) == ([], 0, None)


def test_a_link_that_announced_all_missing_ids_is_asked_for_all() -> None:
    gossip = machine(A, B)
    gossip.on_have(A, ids(0), hops=1, now=0, lacks=lacks)
    for link in (B, A):
        gossip.on_have(link, ids(1), hops=1, now=0, lacks=lacks)

    assert gossip.on_time(FIRST_WAIT_S) == [SendWant(A, ids(0, 1), eager=True)]


def test_a_want_is_answered_and_makes_the_link_eager() -> None:
    gossip = machine(A, B)
    make_lazy(gossip, B)
    gossip.on_records(ids(0), hops=4, source=A, now=0)

    outputs = gossip.on_want(B, ids(0, 99), eager=True)

    assert (outputs, gossip.is_eager(B)) == ([SendRecords(B, ids(0), hops=5), SendRecords(B, ids(99), hops=0)], True)


def test_an_id_that_a_want_repeats_is_answered_once() -> None:
    assert machine(A).on_want(A, ids(0) * 1_000, eager=True) == [SendRecords(A, ids(0), hops=0)]


def test_an_answer_to_repair_is_not_live_and_leaves_the_link_lazy() -> None:
    gossip = machine(A, B)
    make_lazy(gossip, B)
    gossip.on_records(ids(0), hops=4, source=A, now=0)

    outputs = gossip.on_want(B, ids(0), eager=False)

    assert (outputs, gossip.is_eager(B)) == ([SendRecords(B, ids(0), hops=0)], False)


def test_a_record_is_neither_sent_nor_announced_to_a_link_that_announced_it() -> None:
    gossip = machine(A, B, C, gather_s=0)
    make_lazy(gossip, C)
    gossip.on_have(B, ids(0), hops=1, now=0, lacks=lacks)
    gossip.on_have(C, ids(0), hops=1, now=0, lacks=lacks)

    outputs = gossip.on_records(ids(0, 1), hops=1, source=A, now=0)

    assert outputs == [SendRecords(B, ids(1), hops=2), SendHave(C, ids(1), hops=2)]


# Shortcuts.


def test_a_lazy_link_that_saves_enough_hops_takes_the_place_of_the_eager_link() -> None:
    gossip = machine(A, B, shortcut_hops=7)
    make_lazy(gossip, B)
    gossip.on_have(B, ids(0), hops=2, now=0, lacks=lacks)

    outputs = gossip.on_records(ids(0), hops=9, source=A, now=0.1)

    assert outputs == [SendWant(B, (), eager=True), SendPrune(A)]
    assert (gossip.is_eager(A), gossip.is_eager(B)) == (False, True)


@pytest.mark.parametrize(("announced_hops", "hops"), [(2, 8), (0, 9), (9, 2)])
def test_a_lazy_link_that_saves_too_few_hops_stays_lazy(announced_hops: int, hops: int) -> None:
    gossip = machine(A, B, shortcut_hops=7)
    make_lazy(gossip, B)
    gossip.on_have(B, ids(0), hops=announced_hops, now=0, lacks=lacks)

    assert gossip.on_records(ids(0), hops=hops, source=A, now=0.1) == []


@pytest.mark.parametrize("source", [A, B])
def test_neither_an_eager_link_nor_the_link_of_the_record_is_a_shortcut(source: int) -> None:
    gossip = machine(A, B, shortcut_hops=7)
    make_lazy(gossip, source)
    gossip.on_have(B, ids(0), hops=1, now=0, lacks=lacks)

    assert gossip.on_records(ids(0), hops=9, source=source, now=0.1) == (
        [SendRecords(A, ids(0), hops=10)] if source == B else []
    )


def test_a_link_that_broke_a_promise_is_no_shortcut() -> None:
    gossip = machine(A, B)
    make_lazy(gossip, B)
    gossip.on_have(B, ids(0), hops=1, now=0, lacks=lacks)
    asks(gossip)
    make_lazy(gossip, B)
    gossip.on_have(B, ids(1), hops=1, now=100, lacks=lacks)

    assert gossip.on_records(ids(1), hops=90, source=A, now=100.1) == []
