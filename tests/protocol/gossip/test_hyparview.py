"""One node of HyParView: what it answers to each message, and that its views keep their limits."""

from itertools import pairwise
from random import Random
from typing import NamedTuple

import pytest

from protocol.gossip.hyparview import (
    Disconnect,
    Down,
    ForwardJoin,
    HyParView,
    HyParViewLimits,
    Join,
    Message,
    Neighbour,
    NeighbourReply,
    Output,
    SendMessage,
    Shuffle,
    ShuffleReply,
    Up,
)

LIMITS = HyParViewLimits()
STRANGERS = tuple(f"stranger {number}" for number in range(100))


def machine(*neighbours: str, limits: HyParViewLimits = LIMITS) -> HyParView:
    """The node `me` with these neighbours, each of which asked urgently."""
    membership = HyParView("me", limits, Random(1), now=0.0)
    for each in neighbours:
        membership.on_message(each, Neighbour(is_urgent=True), 0.0)
    assert membership.active == neighbours
    return membership


def know(membership: HyParView, *addresses: str) -> None:
    """Put these into the passive view by shuffles, each small enough to be taken whole."""
    for begin in range(0, len(addresses), 8):
        origin, *sample = addresses[begin : begin + 8]
        membership.on_message("x", Shuffle(origin, 1, tuple(sample)), 0.0)


def sent(outputs: list[Output], kind: type[Message]) -> list[str]:
    return [output.to for output in outputs if isinstance(output, SendMessage) and isinstance(output.message, kind)]


class Shuffled(NamedTuple):
    to: str
    message: Shuffle


def shuffled(membership: HyParView, now: float | None = None) -> Shuffled:
    """The next shuffle that the node starts, without its other messages."""
    outputs = membership.on_time(membership.next_at if now is None else now)
    (shuffle,) = [it for it in outputs if isinstance(it, SendMessage) and isinstance(it.message, Shuffle)]
    assert isinstance(shuffle.message, Shuffle)
    return Shuffled(shuffle.to, shuffle.message)


# Joining.


def test_a_joiner_and_its_contact_become_neighbours() -> None:
    joiner = HyParView("me", LIMITS, Random(1), now=0.0)
    contact = machine()

    asked = joiner.join("contact")
    taken = contact.on_message("joiner", Join(), 0.0)

    assert asked == [SendMessage("contact", Join()), Up("contact")]
    assert taken == [Up("joiner")]


def test_a_contact_sends_the_joiner_on_walks_through_its_other_neighbours() -> None:
    contact = machine("a", "b")

    outputs = contact.on_message("joiner", Join(), 0.0)

    walk = ForwardJoin("joiner", LIMITS.active_walk)
    assert outputs == [Up("joiner"), SendMessage("a", walk), SendMessage("b", walk)]


def test_a_full_contact_drops_a_neighbour_for_the_joiner() -> None:
    contact = machine("a", "b", "c", "d", "e")

    outputs = contact.on_message("joiner", Join(), 0.0)

    (dropped,) = sent(outputs, Disconnect)
    assert outputs[:3] == [SendMessage(dropped, Disconnect()), Down(dropped), Up("joiner")]
    assert (contact.passive, len(contact.active)) == ((dropped,), LIMITS.active_max)
    assert set(sent(outputs, ForwardJoin)) == {"a", "b", "c", "d", "e"} - {dropped}


def test_a_walk_goes_on_to_another_neighbour_with_one_step_less() -> None:
    outputs = machine("a", "b").on_message("a", ForwardJoin("joiner", 5), 0.0)

    assert outputs == [SendMessage("b", ForwardJoin("joiner", 4))]


@pytest.mark.parametrize(("neighbours", "steps"), [(("a", "b"), 0), (("a",), 5)])
def test_the_joiner_becomes_a_neighbour_of_the_node_where_its_walk_ends(
    neighbours: tuple[str, ...], steps: int
) -> None:
    outputs = machine(*neighbours).on_message("a", ForwardJoin("joiner", steps), 0.0)

    assert outputs == [SendMessage("joiner", Neighbour(is_urgent=True)), Up("joiner")]


def test_a_walk_ends_at_a_node_whose_only_other_neighbour_is_the_joiner() -> None:
    assert machine("a", "joiner").on_message("a", ForwardJoin("joiner", 5), 0.0) == []


def test_one_node_on_the_way_adds_the_joiner_to_its_passive_view() -> None:
    membership = machine("a", "b")

    for steps in range(LIMITS.active_walk, 0, -1):
        before = membership.passive
        membership.on_message("a", ForwardJoin("joiner", steps), 0.0)
        assert ("joiner" in membership.passive) == ("joiner" in before or steps == LIMITS.passive_walk)


def test_a_walk_that_claims_too_many_steps_gets_no_more_than_the_limit() -> None:
    outputs = machine("a", "b").on_message("a", ForwardJoin("joiner", 10**9), 0.0)

    assert outputs == [SendMessage("b", ForwardJoin("joiner", LIMITS.active_walk - 1))]


def test_a_node_never_becomes_its_own_neighbour() -> None:
    membership = machine("a", "b")

    outputs = membership.on_message("a", ForwardJoin("me", 0), 0.0) + membership.on_message("me", Join(), 0.0)
    outputs += membership.on_message("me", Neighbour(is_urgent=True), 0.0)
    membership.on_message("a", Shuffle("b", 1, ("me",)), 0.0)

    assert outputs == [SendMessage("me", NeighbourReply(is_accepted=False))]
    assert (membership.active, membership.passive) == (("a", "b"), ())


# Becoming neighbours.

REQUESTS = [
    ("there is room", ("a",), False, True),
    ("there is no room", ("a", "b", "c", "d", "e"), False, False),
    ("there is no room, but it is urgent", ("a", "b", "c", "d", "e"), True, True),
]


@pytest.mark.parametrize(("case", "neighbours", "is_urgent", "is_accepted"), REQUESTS)
def test_a_request_is_accepted_if_there_is_room_or_if_it_is_urgent(
    case: str, neighbours: tuple[str, ...], is_urgent: bool, is_accepted: bool
) -> None:
    membership = machine(*neighbours)

    outputs = membership.on_message("z", Neighbour(is_urgent), 0.0)

    assert outputs[0] == SendMessage("z", NeighbourReply(is_accepted))
    assert ("z" in membership.active, len(membership.active) <= LIMITS.active_max) == (is_accepted, True)


def test_after_a_broken_connection_a_node_asks_an_address_of_its_passive_view() -> None:
    membership = machine("a", "b", "c", "d", "e")
    know(membership, "p")

    outputs = membership.on_unreachable("a", 5.0)

    assert outputs == [Down("a"), SendMessage("p", Neighbour(is_urgent=False))]
    assert membership.on_message("p", NeighbourReply(is_accepted=True), 5.1) == [Up("p")]


def test_a_request_is_urgent_from_a_node_with_too_few_neighbours() -> None:
    membership = machine("a", "b", "c")
    know(membership, "p", "q")

    outputs = membership.on_unreachable("a", 5.0)

    assert {output.message for output in outputs if isinstance(output, SendMessage)} == {Neighbour(is_urgent=True)}


def test_an_unreachable_address_is_forgotten_and_the_next_is_asked() -> None:
    membership = machine("a", "b", "c", "d", "e")
    know(membership, "p", "q")
    (first,) = sent(membership.on_unreachable("a", 5.0), Neighbour)

    (second,) = sent(membership.on_unreachable(first, 5.1), Neighbour)

    assert {first, second} == {"p", "q"}
    assert membership.passive == (second,)


def test_a_node_that_declined_is_asked_again_only_at_the_next_retry() -> None:
    membership = machine("a", "b", "c", "d", "e")
    know(membership, "p")
    membership.on_unreachable("a", 5.0)

    at_once = membership.on_message("p", NeighbourReply(is_accepted=False), 5.1)
    later = membership.on_time(5.0 + LIMITS.retry_s)

    assert (at_once, sent(later, Neighbour)) == ([], ["p"])


@pytest.mark.parametrize(("active_min", "is_asked"), [(3, False), (4, True)])
def test_after_a_decline_the_next_is_asked_at_once_only_by_a_node_with_few_neighbours(
    active_min: int, is_asked: bool
) -> None:
    """Otherwise a node with room in a full network would ask all the addresses that it knows, over and over."""
    membership = machine("a", "b", "c", "d", limits=HyParViewLimits(active_max=4, active_min=active_min))
    know(membership, "p", "q")
    (first,) = sent(membership.on_unreachable("a", 5.0), Neighbour)

    outputs = membership.on_message(first, NeighbourReply(is_accepted=False), 5.1)

    assert sent(outputs, Neighbour) == [each for each in ("p", "q") if each != first and is_asked]


def test_a_node_that_does_not_answer_is_asked_again_at_the_next_retry() -> None:
    membership = machine("a", "b", "c", "d", "e")
    know(membership, "p")
    membership.on_unreachable("a", 5.0)

    assert sent(membership.on_time(5.0 + LIMITS.retry_s), Neighbour) == ["p"]


def test_a_node_that_accepts_after_the_place_was_taken_is_disconnected() -> None:
    membership = machine("a", "b", "c", "d", "e")
    know(membership, "p")
    membership.on_unreachable("a", 5.0)
    membership.on_message("z", Neighbour(is_urgent=True), 5.1)

    assert membership.on_message("p", NeighbourReply(is_accepted=True), 5.2) == [SendMessage("p", Disconnect())]


def test_an_answer_to_a_request_that_was_never_made_is_ignored() -> None:
    assert machine("a").on_message("z", NeighbourReply(is_accepted=True), 0.0) == []


def test_a_neighbour_that_disconnects_moves_to_the_passive_view_and_is_replaced() -> None:
    membership = machine("a", "b", "c", "d", "e")
    know(membership, "p")

    outputs = membership.on_message("a", Disconnect(), 0.0)

    assert outputs == [Down("a"), SendMessage("p", Neighbour(is_urgent=False))]
    assert set(membership.passive) == {"a", "p"}


def test_a_neighbour_that_just_disconnected_is_not_asked_back() -> None:
    membership = machine("a", "b", "c", "d", "e")

    assert membership.on_message("a", Disconnect(), 0.0) == [Down("a")]


def test_a_node_that_knows_nobody_else_asks_the_neighbour_that_dropped_it() -> None:
    """Otherwise the node stays cut off, with all that join through it (19 of 10,000 nodes, seed 4)."""
    membership = machine("a")

    assert membership.on_message("a", Disconnect(), 0.0) == [Down("a"), SendMessage("a", Neighbour(is_urgent=True))]


def test_a_request_is_settled_if_the_other_node_sends_the_same_request() -> None:
    membership = machine("a", "b", "c", "d", "e")
    know(membership, "p")
    membership.on_unreachable("a", 5.0)
    membership.on_message("p", Neighbour(is_urgent=False), 5.1)
    know(membership, "q")

    outputs = membership.on_unreachable("b", 5.2)

    assert sent(outputs, Neighbour) == ["q"]


def test_a_stranger_cannot_make_a_node_drop_a_neighbour() -> None:
    assert machine("a").on_message("z", Disconnect(), 0.0) == []


# Shuffling.


def test_visits_and_walks_take_turns_and_each_carries_some_addresses_of_both_views() -> None:
    membership = machine("a", "b", "c", "d", "e")
    know(membership, *STRANGERS[:10])

    visit, walk, another = (shuffled(membership) for _ in range(3))

    assert [visit.message.steps, walk.message.steps, another.message.steps] == [1, LIMITS.active_walk, 1]
    assert [each.to in membership.active for each in (visit, walk, another)] == [False, True, False]
    for each in (visit, walk, another):
        sample = each.message.sample
        assert (each.message.origin, each.to in sample) == ("me", False)
        assert len([address for address in sample if address in membership.active]) == LIMITS.shuffle_active
        assert len([address for address in sample if address in membership.passive]) == LIMITS.shuffle_passive


def test_a_node_with_an_empty_passive_view_only_walks() -> None:
    membership = machine("a")

    assert [shuffled(membership).to for _ in range(3)] == ["a"] * 3


def test_a_node_without_neighbours_only_visits() -> None:
    membership = machine("a")
    know(membership, "p")
    membership.on_unreachable("a", 0.0)

    assert [shuffled(membership, now).to for now in (100.0, 200.0, 300.0)] == ["p"] * 3


def test_after_a_visit_that_found_nobody_the_next_comes_soon_but_not_at_once() -> None:
    membership = machine("a", "b", "c", "d", "e")
    know(membership, "p", "q")
    first, at = shuffled(membership), membership.next_at

    outputs = membership.on_unreachable(first.to, at - 20)
    second = shuffled(membership, at - 20 + LIMITS.visit_s)

    assert outputs == []
    assert {first.to, second.to} == {"p", "q"}
    assert membership.passive == (second.to,)


def test_a_node_without_neighbours_asks_its_visitor_to_be_one() -> None:
    membership = machine()

    outputs = membership.on_message("far", Shuffle("far", 1, ("p",)), 0.0)

    assert set(sent(outputs, Neighbour)) == {"far", "p"}
    assert {output.message for output in outputs if isinstance(output, SendMessage)} >= {Neighbour(is_urgent=True)}


def test_the_interval_between_shuffles_varies_by_a_random_fifth() -> None:
    membership = machine("a")
    times = []

    for _ in range(50):
        times.append(membership.next_at)
        membership.on_time(membership.next_at)

    assert 0 <= times[0] <= LIMITS.shuffle_s
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(0.8 * LIMITS.shuffle_s <= gap <= 1.2 * LIMITS.shuffle_s for gap in gaps)
    assert len(set(gaps)) > 40


def test_a_shuffle_with_steps_left_is_carried_on() -> None:
    shuffle = Shuffle("far", 3, ("p",))

    assert machine("a", "b").on_message("a", shuffle, 0.0) == [SendMessage("b", Shuffle("far", 2, ("p",)))]


def test_a_shuffle_that_claims_too_many_steps_gets_no_more_than_the_limit() -> None:
    outputs = machine("a", "b").on_message("a", Shuffle("far", 10**9, ()), 0.0)

    assert outputs == [SendMessage("b", Shuffle("far", LIMITS.active_walk - 1, ()))]


def test_a_shuffle_that_comes_back_to_its_origin_ends_there() -> None:
    membership = machine("a", "b")

    assert membership.on_message("a", Shuffle("me", 1, ("p",)), 0.0) == []
    assert membership.passive == ()


def test_a_shuffle_is_answered_with_as_many_addresses_as_it_brought() -> None:
    membership = machine("a", "b", "c")
    know(membership, *STRANGERS[:20])

    (reply,) = membership.on_message("a", Shuffle("far", 1, ("p", "q")), 0.0)

    assert isinstance(reply, SendMessage)
    assert isinstance(reply.message, ShuffleReply)
    assert (reply.to, len(reply.message.sample)) == ("far", 3)
    assert {"far", "p", "q"} <= set(membership.passive)


def test_new_addresses_replace_first_those_that_were_given_away() -> None:
    membership = machine("a", "b", "c")
    know(membership, *STRANGERS[: LIMITS.passive_max])
    given = shuffled(membership, LIMITS.shuffle_s).message.sample

    membership.on_message("far", ShuffleReply(("p", "q")), 31.0)

    gone = set(STRANGERS[: LIMITS.passive_max]) - set(membership.passive)
    assert len(gone) == 2
    assert gone <= set(given)


def test_a_reply_to_no_shuffle_is_ignored() -> None:
    membership = machine("a")

    membership.on_message("z", ShuffleReply(("p",)), 0.0)

    assert membership.passive == ()


def test_of_a_long_sample_only_as_much_is_taken_as_an_honest_node_sends() -> None:
    membership = machine("a")

    membership.on_message("a", Shuffle("far", 1, STRANGERS), 0.0)

    assert membership.passive == ("far", *STRANGERS[: LIMITS.shuffle_active + LIMITS.shuffle_passive])


def test_a_full_passive_view_drops_one_address_for_each_new_one() -> None:
    membership = machine("a")
    know(membership, *STRANGERS[: LIMITS.passive_max])
    full = membership.passive

    know(membership, STRANGERS[99])

    assert len(full) == len(membership.passive) == LIMITS.passive_max
    assert STRANGERS[99] in membership.passive


def test_false_addresses_make_a_node_connect_only_up_to_a_limit() -> None:
    membership = machine("a", "b", "c", "d", "e")
    asked = sent(membership.on_unreachable("a", 0.0), Neighbour)

    for number in range(1_000):
        know(membership, f"false {number}")
        asked += sent(membership.on_unreachable("nobody", 1.0), Neighbour)
        asked += [each for other in asked[-1:] for each in sent(membership.on_unreachable(other, 1.0), Neighbour)]

    assert LIMITS.passive_max <= len(asked) <= LIMITS.passive_max + LIMITS.active_max
