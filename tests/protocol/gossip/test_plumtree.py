"""Every node gets every record, nearly always once; and nothing that a peer sends makes a node forget its limits."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.gossip.missing import ASKS_MAX
from protocol.gossip.plumtree import ANSWER_EACH_S, Plumtree, PlumtreeLimits, SendHave, SendPrune, SendRecords, SendWant
from protocol.gossip.timing import FIRST_S
from protocol.limits import IDS_MAX
from tests.protocol.gossip.gossip_network import Network

FIRST_WAIT_S = 1.5
"""More than a node waits that knows no round trip: a second and a half of it, by chance."""


def record(number: int) -> str:
    return f"{number:064x}"


def records(count: int, begin: int = 0) -> tuple[str, ...]:
    return tuple(record(number) for number in range(begin, begin + count))


def machine(links: int, **limits: float) -> Plumtree:
    gossip = Plumtree(PlumtreeLimits(**limits), Random(1))  # type: ignore[arg-type]
    for link in range(links):
        gossip.on_up(link)
    return gossip


def lacks(record_id: str) -> bool:
    return True


def asks(gossip: Plumtree) -> list[tuple[int, tuple[str, ...]]]:
    """Run every timer until none is left: the links asked, and for what."""
    asked = []
    while (now := gossip.next_at) is not None:
        asked += [(output.link, output.ids) for output in gossip.on_time(now) if isinstance(output, SendWant)]
    return asked


def make_lazy(gossip: Plumtree, *links: int) -> None:
    for link in links:
        gossip.on_prune(link)


# The tree.


def test_news_are_pushed_over_every_eager_link_with_one_hop_more() -> None:
    gossip = machine(3)

    outputs = gossip.on_records(records(2), 4, 1, now=0)

    assert outputs == [SendRecords(0, records(2), 5), SendRecords(2, records(2), 5)]


def test_what_a_client_wrote_leaves_with_one_hop() -> None:
    gossip = machine(1)

    assert gossip.on_records(records(1), 0, None, now=0) == [SendRecords(0, records(1), 1)]


def test_news_are_announced_over_a_lazy_link_after_others_may_have_gathered() -> None:
    gossip = machine(2, gather_s=0.01)
    make_lazy(gossip, 1)

    pushed = [*gossip.on_records(records(1), 1, 0, 5.0), *gossip.on_records(records(1, 1), 1, 0, 5.005)]
    due_at = gossip.next_at
    told = gossip.on_time(5.01)

    assert (pushed, due_at, told, gossip.next_at) == ([], 5.01, [SendHave(1, records(2), 2)], None)


def test_what_came_by_different_ways_is_announced_apart() -> None:
    gossip = machine(3)
    make_lazy(gossip, 2)

    gossip.on_records(records(1), 1, 0, 0)
    gossip.on_records(records(1, 1), 3, 1, 0)

    assert gossip.on_time(1) == [SendHave(2, records(1), 2), SendHave(2, records(1, 1), 4)]


def test_a_full_frame_of_announcements_waits_for_nothing() -> None:
    gossip = machine(1)
    make_lazy(gossip, 0)

    at_once = gossip.on_records(records(IDS_MAX + 1), 0, None, 0)
    later = gossip.on_time(1)

    assert (at_once, later) == ([SendHave(0, records(IDS_MAX), 1)], [SendHave(0, records(1, IDS_MAX), 1)])


def test_nothing_gathers_where_no_time_is_given_to_it() -> None:
    gossip = machine(1, gather_s=0)
    make_lazy(gossip, 0)

    assert (gossip.on_records(records(1), 0, None, 0), gossip.next_at) == ([SendHave(0, records(1), 1)], None)


def test_old_news_are_announced_to_all_and_pushed_to_nobody() -> None:
    gossip = machine(3, gather_s=0)
    make_lazy(gossip, 1)

    assert gossip.on_records(records(1), 3, 0, 0, is_live=False) == [
        SendHave(1, records(1), 0),
        SendHave(2, records(1), 0),
    ]


def test_a_record_that_comes_again_prunes_the_link() -> None:
    gossip = machine(2)
    gossip.on_records(records(1), 1, 0, 0)

    outputs = gossip.on_duplicates(records(1), 1, 1, 0)

    assert (outputs, gossip.is_eager(0), gossip.is_eager(1)) == ([SendPrune(1)], True, False)


HARMLESS_DUPLICATES = {
    "the same link repeats it": lambda gossip: gossip.on_duplicates(records(1), 1, 0, 0),
    "it came by catch-up": lambda gossip: gossip.on_duplicates(records(1), 0, 1, 0),
    "a client wrote it twice": lambda gossip: gossip.on_duplicates(records(1), 0, None, 0),
    "the link went down": lambda gossip: gossip.on_down(1, 0) + gossip.on_duplicates(records(1), 1, 1, 0),
    "the link of the first copy went down": lambda gossip: (
        gossip.on_down(0, 0) + gossip.on_duplicates(records(1), 1, 1, 0)
    ),
    "the link of the first copy is lazy": lambda gossip: (
        gossip.on_prune(0) or gossip.on_duplicates(records(1), 1, 1, 0)
    ),
    "it is remembered no more": lambda gossip: gossip.on_duplicates(records(1, 77), 1, 1, 0),
}


@pytest.mark.parametrize("case", HARMLESS_DUPLICATES)
def test_a_duplicate_that_shows_no_second_way_prunes_nothing(case: str) -> None:
    gossip = machine(2)
    gossip.on_records(records(1), 1, 0, 0)

    assert HARMLESS_DUPLICATES[case](gossip) == []


@pytest.mark.parametrize(("source", "is_live"), [(None, True), (0, False)])
def test_what_came_first_from_a_client_or_by_catch_up_prunes_nobody(source: int | None, is_live: bool) -> None:
    gossip = machine(2)
    gossip.on_records(records(1), 1, source, 0, is_live=is_live)

    assert gossip.on_duplicates(records(1), 1, 1, 0) == []


def test_two_links_that_take_turns_in_being_first_are_not_both_pruned() -> None:
    gossip = machine(2)

    gossip.on_records(records(1), 1, 0, 0)
    gossip.on_records(records(1, 1), 1, 1, 0)
    outputs = gossip.on_duplicates(records(1), 1, 1, 0) + gossip.on_duplicates(records(1, 1), 1, 0, 0)

    assert (outputs, gossip.is_eager(0)) == ([SendPrune(1)], True)


def test_a_prune_is_repeated_only_once_the_first_must_have_arrived() -> None:
    gossip = machine(2)
    gossip.on_round_trip(1, 1.0)
    gossip.on_records(records(2), 1, 0, 0)

    outputs = [gossip.on_duplicates(records(1), 1, 1, now) for now in (0, 1, 2.9, 3.1)]

    assert outputs == [[SendPrune(1)], [], [], [SendPrune(1)]]


def test_a_lazy_link_that_brings_news_first_is_eager_again() -> None:
    gossip = machine(2)
    make_lazy(gossip, 1)

    gossip.on_records(records(1), 1, 1, 0)

    assert gossip.is_eager(1)


def test_what_left_before_our_prune_arrived_makes_no_link_eager_again() -> None:
    gossip = machine(2)
    gossip.on_records(records(1), 1, 0, 0)
    gossip.on_duplicates(records(1), 1, 1, 0)

    gossip.on_records(records(1, 1), 1, 1, 0.1)

    assert not gossip.is_eager(1)


def test_over_a_link_without_outflow_nothing_leaves() -> None:
    gossip = machine(0)

    outputs = gossip.on_up(0, has_outflow=False)
    outputs += gossip.on_records(records(1), 0, None, 0)
    outputs += gossip.on_want(0, records(1), eager=True)

    assert (outputs, gossip.next_at) == ([], None)


def test_over_a_link_without_inflow_nothing_is_asked_for() -> None:
    gossip = machine(0)
    gossip.on_up(0, has_inflow=False)

    gossip.on_have(0, records(1), 1, 0, lacks)

    assert gossip.missing_count == 0


def test_a_new_link_is_told_the_newest_ids_at_once() -> None:
    gossip = machine(1, greeting_ids_max=4)
    gossip.on_records(records(2), 2, 0, 0)
    gossip.on_refused(records(1, 9))
    gossip.on_records(records(1, 2), 7, 0, 0, is_live=False)
    gossip.on_records(records(1, 3), 5, 0, 0)

    assert gossip.on_up(1) == [SendHave(1, (record(3), record(1)), 6), SendHave(1, (record(2),), 0)]


# Asking.


def test_what_was_announced_and_does_not_come_is_asked_for() -> None:
    gossip = machine(2)
    make_lazy(gossip, 0, 1)

    gossip.on_have(1, records(2), 3, 0, lacks)
    outputs = gossip.on_time(FIRST_WAIT_S)

    assert (outputs, gossip.is_eager(1), gossip.is_eager(0)) == ([SendWant(1, records(2), eager=True)], True, False)


def test_what_comes_in_time_is_not_asked_for() -> None:
    gossip = machine(2)
    gossip.on_have(1, records(1), 3, 0, lacks)

    gossip.on_records(records(1), 3, 0, 0.5)

    assert (asks(gossip), gossip.missing_count) == ([], 0)


def test_what_is_held_or_refused_is_not_asked_for() -> None:
    gossip = machine(2)
    gossip.on_have(1, records(1), 1, 0, lacks)

    gossip.on_refused(records(1))
    gossip.on_have(0, records(1), 1, 0, lacks)
    gossip.on_have(0, records(1, 1), 1, 0, lambda record_id: False)

    assert (asks(gossip), gossip.missing_count) == ([], 0)


def test_old_news_are_asked_for_without_a_change_of_the_tree() -> None:
    gossip = machine(1)
    make_lazy(gossip, 0)

    gossip.on_have(0, records(1), 0, 0, lacks)
    outputs = gossip.on_time(FIRST_WAIT_S)

    assert (outputs, gossip.is_eager(0)) == ([SendWant(0, records(1), eager=False)], False)


def test_every_announcer_is_asked_in_turn_and_then_the_id_is_given_up() -> None:
    gossip = machine(3)
    for link in range(3):
        gossip.on_have(link, records(1), 1, 0, lacks)

    asked = asks(gossip)

    assert asked == [(link, records(1)) for link in (0, 1, 2)] * ASKS_MAX
    assert gossip.missing_count == 0


def test_the_only_announcer_is_given_twice_the_time_when_it_is_asked_again() -> None:
    gossip = machine(1)
    gossip.on_have(0, records(2), 1, 0, lacks)
    times = [FIRST_WAIT_S]

    gossip.on_time(FIRST_WAIT_S)
    while (due_at := gossip.next_at) is not None:
        times.append(due_at)
        gossip.on_time(due_at)

    asked_again = [FIRST_S + ANSWER_EACH_S, FIRST_S + 2 * ANSWER_EACH_S]
    given_up = [at + 2 * (FIRST_S + ANSWER_EACH_S) for at in asked_again]
    assert times[1:] == pytest.approx([FIRST_WAIT_S + wait_s for wait_s in asked_again + given_up])


def test_a_link_that_goes_down_while_it_was_asked_costs_no_time() -> None:
    gossip = machine(2)
    gossip.on_have(0, records(1), 1, 0, lacks)
    gossip.on_have(1, records(1), 1, 0, lacks)
    gossip.on_time(FIRST_WAIT_S)

    assert gossip.on_down(0, FIRST_WAIT_S) == [SendWant(1, records(1), eager=True)]


def test_an_id_whose_only_announcer_went_down_is_given_up() -> None:
    gossip = machine(1)
    gossip.on_have(0, records(1), 1, 0, lacks)
    gossip.on_time(FIRST_WAIT_S)

    assert (gossip.on_down(0, FIRST_WAIT_S), gossip.missing_count, gossip.next_at) == ([], 0, None)


def test_ids_that_are_missed_together_are_asked_of_one_link_where_one_announced_all() -> None:
    gossip = machine(2)
    gossip.on_have(0, records(1), 1, 0, lacks)
    for link in (1, 0):
        gossip.on_have(link, records(1, 1), 1, 0, lacks)

    assert gossip.on_time(FIRST_WAIT_S) == [SendWant(0, (record(0), record(1)), eager=True)]


def test_a_want_is_answered_and_makes_the_link_eager() -> None:
    gossip = machine(2)
    make_lazy(gossip, 1)
    gossip.on_records(records(1), 4, 0, 0)

    outputs = gossip.on_want(1, (record(0), record(99)), eager=True)

    assert (outputs, gossip.is_eager(1)) == ([SendRecords(1, records(1), 5), SendRecords(1, (record(99),), 0)], True)


def test_a_want_that_repeats_itself_is_answered_once() -> None:
    assert machine(1).on_want(0, records(1) * 1_000, eager=True) == [SendRecords(0, records(1), 0)]


def test_what_repair_asks_for_is_no_news() -> None:
    gossip = machine(2)
    make_lazy(gossip, 1)
    gossip.on_records(records(1), 4, 0, 0)

    outputs = gossip.on_want(1, records(1), eager=False)

    assert (outputs, gossip.is_eager(1)) == ([SendRecords(1, records(1), 0)], False)


def test_nothing_is_sent_to_a_link_that_announced_it() -> None:
    gossip = machine(3, gather_s=0)
    make_lazy(gossip, 2)
    gossip.on_have(1, records(1), 1, 0, lacks)
    gossip.on_have(2, records(1), 1, 0, lacks)

    outputs = gossip.on_records(records(2), 1, 0, 0)

    assert outputs == [SendRecords(1, records(1, 1), 2), SendHave(2, records(1, 1), 2)]


# The tree by hops.


def test_a_lazy_link_that_saves_enough_hops_takes_the_place_of_the_eager_one() -> None:
    gossip = machine(2, shortcut_hops=7)
    make_lazy(gossip, 1)
    gossip.on_have(1, records(1), 2, 0, lacks)

    outputs = gossip.on_records(records(1), 9, 0, 0.1)

    assert outputs == [SendWant(1, (), eager=True), SendPrune(0)]
    assert (gossip.is_eager(0), gossip.is_eager(1)) == (False, True)


@pytest.mark.parametrize(("announced", "came"), [(2, 8), (0, 9), (9, 2)])
def test_a_lazy_link_that_saves_too_little_stays_lazy(announced: int, came: int) -> None:
    gossip = machine(2, shortcut_hops=7)
    make_lazy(gossip, 1)
    gossip.on_have(1, records(1), announced, 0, lacks)

    assert gossip.on_records(records(1), came, 0, 0.1) == []


@pytest.mark.parametrize("source", [0, 1])
def test_neither_an_eager_link_nor_the_one_that_brought_it_is_a_shortcut(source: int) -> None:
    gossip = machine(2, shortcut_hops=7)
    make_lazy(gossip, source)
    gossip.on_have(1, records(1), 1, 0, lacks)

    assert gossip.on_records(records(1), 9, source, 0.1) == ([SendRecords(0, records(1), 10)] if source == 1 else [])


def test_a_link_that_broke_its_word_is_no_shortcut() -> None:
    gossip = machine(2)
    make_lazy(gossip, 1)
    gossip.on_have(1, records(1), 1, 0, lacks)
    asks(gossip)
    make_lazy(gossip, 1)
    gossip.on_have(1, records(1, 1), 1, 100, lacks)

    assert gossip.on_records(records(1, 1), 90, 0, 100.1) == []


# Laws, over whole networks.


def drawn_network(random: Random, delay_s_max: float) -> Network:
    nodes = random.randint(2, 24)
    network = Network(nodes, random.getrandbits(32))
    for node in range(1, nodes):
        network.connect(node, random.randrange(node), random.uniform(0.0005, delay_s_max))
    for _ in range(random.randrange(2 * nodes)):
        one, other = random.sample(range(nodes), 2)
        network.connect(one, other, random.uniform(0.0005, delay_s_max))
    return network


def disturb(network: Network, random: Random) -> None:
    """A link is reset, a node dies, or two living nodes connect; or nothing of that."""
    living = [node for node, is_alive in enumerate(network.alive) if is_alive]
    happening = random.randrange(5)
    if happening == 0 and network.ends:
        network.reset(random.choice(list(network.ends)))
    elif happening == 1 and len(living) > 2:
        network.die(random.choice(living))
    elif happening == 2 and len(living) > 1:
        one, other = random.sample(living, 2)
        network.connect(one, other, random.uniform(0.0005, 0.1))


@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=100)
def test_what_one_node_holds_all_hold_that_it_reaches_through_resets_deaths_and_new_links(seed: int) -> None:
    random = Random(seed)
    network = drawn_network(random, delay_s_max=0.1)

    for number in range(12):
        writer = random.choice([node for node, is_alive in enumerate(network.alive) if is_alive])
        network.write(writer, record(number))
        network.settle_until(network.now + random.choice([0.0, 0.05, 2.0]))
        disturb(network, random)
    network.settle()

    for one, other, _ in network.ends.values():
        assert network.held[one].keys() == network.held[other].keys()
    assert all(
        gossip.missing_count == 0 for gossip, is_alive in zip(network.nodes, network.alive, strict=True) if is_alive
    )


@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=60)
def test_once_the_tree_stands_each_node_is_sent_each_record_once(seed: int) -> None:
    random = Random(seed)
    network = drawn_network(random, delay_s_max=0.002)
    nodes = len(network.nodes)

    for number in range(6):
        network.write(random.randrange(nodes), record(number))
        network.settle()

    assert [network.copies[record(number)] for number in range(1, 6)] == [nodes - 1] * 5


def test_the_same_seed_gives_the_same_outputs() -> None:
    traces = []
    for disturbance in (0, 1_000):
        ballast = [object() for _ in range(disturbance)]
        random = Random(7)
        network = drawn_network(random, delay_s_max=0.1)
        for number in range(20):
            network.write(random.randrange(len(network.nodes)), record(number))
            network.settle_until(network.now + 0.02)
        network.settle()
        traces.append(network.trace)
        del ballast

    assert traces[0] == traces[1]
