"""Gossip among hostile peers, and within its limits."""

from protocol.gossip.missing import ANNOUNCERS_MAX, ASKS_MAX, MISSING_LINK_MAX
from protocol.gossip.plumtree import Output, Plumtree, SendRecords
from protocol.gossip.tree_link import DOUBTS_MAX, MUTE_S
from protocol.limits import HOPS_MAX
from tests.protocol.gossip.gossip_network import Network
from tests.protocol.gossip.test_plumtree import asks, lacks, machine, record, records


def test_a_liar_is_asked_last() -> None:
    gossip = machine(2)
    gossip.on_have(0, records(1), 1, 0, lacks)
    asks(gossip)

    for link in (0, 1):
        gossip.on_have(link, records(1, 1), 1, 100, lacks)

    assert asks(gossip)[0] == (1, records(1, 1))


def lie(gossip: Plumtree, times: int) -> float:
    """Let link 0 announce what it never sends; gives the time at which it was found out."""
    now = 0.0
    for number in range(times):
        gossip.on_have(0, records(1, number), 1, now, lacks)
        while (due_at := gossip.next_at) is not None:
            now = due_at
            gossip.on_time(now)
    return now


def test_a_liar_is_not_heard_for_a_while() -> None:
    gossip = machine(1)
    found_at = lie(gossip, DOUBTS_MAX)

    gossip.on_have(0, records(1, 77), 1, found_at, lacks)
    during = gossip.missing_count
    gossip.on_have(0, records(1, 77), 1, found_at + MUTE_S, lacks)

    assert (during, gossip.missing_count) == (0, 1)


def test_a_link_that_sends_something_new_is_believed_again() -> None:
    gossip = machine(1)
    found_at = lie(gossip, DOUBTS_MAX // ASKS_MAX - 1)
    gossip.on_records(records(1, 55), 1, 0, found_at)
    found_at = lie(gossip, 1)

    gossip.on_have(0, records(1, 77), 1, found_at, lacks)

    assert gossip.missing_count == 1


def test_one_link_opens_no_more_than_its_share_of_what_is_missed() -> None:
    gossip = machine(2)

    gossip.on_have(0, records(MISSING_LINK_MAX + 1), 1, 0, lacks)
    after_one = gossip.missing_count
    gossip.on_have(1, records(1, MISSING_LINK_MAX + 1), 1, 0, lacks)

    assert (after_one, gossip.missing_count) == (MISSING_LINK_MAX, MISSING_LINK_MAX + 1)


def test_no_more_announcers_than_the_limit_are_asked_for_one_id() -> None:
    gossip = machine(ANNOUNCERS_MAX + 1)
    for link in range(ANNOUNCERS_MAX + 1):
        gossip.on_have(link, records(1), 1, 0, lacks)

    assert {link for link, _ in asks(gossip)} == set(range(ANNOUNCERS_MAX))


def test_ids_beyond_the_limit_are_forgotten_oldest_first() -> None:
    gossip = machine(0, recents_max=100)

    for number in range(101):
        gossip.on_records(records(1, number), 0, None, 0)
        assert record(number) in gossip

    assert sum(record(number) in gossip for number in range(101)) <= 100
    assert all(record(number) in gossip for number in range(101 - 100 * 7 // 8, 101))
    assert record(0) not in gossip


def test_a_flood_of_wants_leaves_nothing_behind() -> None:
    gossip = machine(1)
    gossip.on_records(records(1), 0, None, 0)

    answers = [gossip.on_want(0, (record(number),), eager=True) for number in range(10_000)]

    assert answers == [
        [SendRecords(0, records(1), 1)],
        *([SendRecords(0, (record(number),), 0)] for number in range(1, 10_000)),
    ]
    assert (gossip.missing_count, gossip.next_at) == (0, None)


def test_a_node_that_everyone_pruned_still_spreads_its_news() -> None:
    network = Network(4, seed=1)
    links = [network.connect(0, other, 0.001) for other in (1, 2, 3)]
    for link in links:
        network.nodes[0].on_prune(link)

    network.write(0, record(1))
    network.settle()

    assert all(record(1) in held for held in network.held)


def test_hops_beyond_all_measure_are_counted_no_further() -> None:
    gossip = machine(2)

    assert gossip.on_records(records(1), 2**53, 0, 0) == [SendRecords(1, records(1), HOPS_MAX)]


def test_what_comes_over_a_link_that_is_not_open_changes_nothing() -> None:
    gossip = machine(1)
    gossip.on_down(0, 0)

    gossip.on_have(0, records(1), 1, 0, lacks)
    gossip.on_prune(0)
    gossip.on_round_trip(0, 1)
    outputs: list[Output] = [*gossip.on_want(0, records(1), eager=True), *gossip.on_down(0, 0)]

    assert (outputs, gossip.missing_count) == ([], 0)


def test_a_link_whose_announcements_were_not_followed_is_to_be_compared_with() -> None:
    """It may be honest and slow, and what it has would else be missed until the next repair."""
    heard, given_up, muted, crowded = machine(2), machine(2), machine(2), machine(2)

    heard.on_have(0, records(1), 1, 0, lacks)
    given_up.on_have(0, records(1), 1, 0, lacks)
    asks(given_up)
    found_at = lie(muted, DOUBTS_MAX)
    muted.take_neglected()
    muted.on_have(0, records(1, 77), 1, found_at, lacks)
    crowded.on_have(0, records(MISSING_LINK_MAX + 1), 1, 0, lacks)

    assert [gossip.take_neglected() for gossip in (heard, given_up, muted, crowded)] == [[], [0], [0], [0]]
    assert muted.take_neglected() == []
