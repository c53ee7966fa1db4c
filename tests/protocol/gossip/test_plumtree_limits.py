"""Plumtree with hostile peers: it finds liars, and keeps its limits."""

from protocol.gossip.missing import ANNOUNCERS_MAX, ASKS_MAX, MISSING_LINK_MAX
from protocol.gossip.plumtree import Output, Plumtree, SendRecords
from protocol.gossip.tree_link import DOUBTS_MAX, MUTE_S
from protocol.limits import HOPS_MAX
from tests.protocol.gossip.gossip_network import Network
from tests.protocol.gossip.test_plumtree import A, B, asks, ids, lacks, machine, record

TRUE, LATER = 55, 77
"""Numbers of records that no lie uses: one that arrives, and one that is announced after the lies."""


def test_a_peer_that_lied_is_asked_last() -> None:
    gossip = machine(A, B)
    gossip.on_have(A, ids(0), hops=1, now=0, lacks=lacks)
    asks(gossip)

    for link in (A, B):
        gossip.on_have(link, ids(1), hops=1, now=100, lacks=lacks)

    assert asks(gossip)[0] == (B, ids(1))


def lie(gossip: Plumtree, times: int) -> float:
    """Let link A announce so many records that it never sends. Returns the time at which the node gave up the last."""
    now = 0.0
    for number in range(times):
        gossip.on_have(A, ids(number), hops=1, now=now, lacks=lacks)
        while (due_at := gossip.next_at) is not None:
            now = due_at
            gossip.on_time(now)
    return now


def test_a_peer_that_lied_often_is_ignored_for_a_while() -> None:
    gossip = machine(A)
    gave_up_at = lie(gossip, DOUBTS_MAX)

    gossip.on_have(A, ids(LATER), hops=1, now=gave_up_at, lacks=lacks)
    during = gossip.missing_count
    gossip.on_have(A, ids(LATER), hops=1, now=gave_up_at + MUTE_S, lacks=lacks)

    assert (during, gossip.missing_count) == (0, 1)


def test_a_link_that_delivers_a_new_record_is_believed_again() -> None:
    gossip = machine(A)
    gave_up_at = lie(gossip, DOUBTS_MAX // ASKS_MAX - 1)
    gossip.on_records(ids(TRUE), hops=1, source=A, now=gave_up_at)
    gave_up_at = lie(gossip, 1)

    gossip.on_have(A, ids(LATER), hops=1, now=gave_up_at, lacks=lacks)

    assert gossip.missing_count == 1


def test_one_link_announces_at_most_its_share_of_the_missing_ids() -> None:
    gossip = machine(A, B)

    gossip.on_have(A, ids(*range(MISSING_LINK_MAX + 1)), hops=1, now=0, lacks=lacks)
    after_one = gossip.missing_count
    gossip.on_have(B, ids(MISSING_LINK_MAX + 1), hops=1, now=0, lacks=lacks)

    assert (after_one, gossip.missing_count) == (MISSING_LINK_MAX, MISSING_LINK_MAX + 1)


def test_at_most_the_limit_of_announcers_is_asked_for_one_id() -> None:
    gossip = machine(*range(ANNOUNCERS_MAX + 1))
    for link in range(ANNOUNCERS_MAX + 1):
        gossip.on_have(link, ids(0), hops=1, now=0, lacks=lacks)

    assert {link for link, _ in asks(gossip)} == set(range(ANNOUNCERS_MAX))


def test_past_the_limit_the_oldest_ids_are_forgotten_first() -> None:
    limit = 100
    kept_at_least = limit * 7 // 8
    numbers = range(limit + 1)
    gossip = machine(recents_max=limit)

    for number in numbers:
        gossip.on_records(ids(number), hops=0, source=None, now=0)
        assert record(number) in gossip

    assert sum(record(number) in gossip for number in numbers) <= limit
    assert all(record(number) in gossip for number in numbers[-kept_at_least:])
    assert record(0) not in gossip


def test_a_flood_of_wants_leaves_no_state_behind() -> None:
    wants = 10_000
    gossip = machine(A)
    gossip.on_records(ids(0), hops=0, source=None, now=0)

    answers = [gossip.on_want(A, ids(number), eager=True) for number in range(wants)]

    assert answers == [
        [SendRecords(A, ids(0), hops=1)],
        *([SendRecords(A, ids(number), hops=0)] for number in range(1, wants)),
    ]
    assert (gossip.missing_count, gossip.next_at) == (0, None)


def test_a_node_pruned_by_all_its_peers_still_spreads_its_records() -> None:
    network = Network(4, seed=1)
    links = [network.connect(0, other, 0.001) for other in (1, 2, 3)]
    for link in links:
        network.nodes[0].on_prune(link)

    network.write(0, record(1))
    network.settle()

    assert all(record(1) in held for held in network.held)


def test_hops_are_counted_up_to_their_limit() -> None:
    gossip, largest_in_json = machine(A, B), 2**53

    assert gossip.on_records(ids(0), hops=largest_in_json, source=A, now=0) == [SendRecords(B, ids(0), hops=HOPS_MAX)]


def test_frames_of_a_link_that_is_not_open_change_nothing() -> None:
    gossip = machine(A)
    gossip.on_down(A, now=0)

    gossip.on_have(A, ids(0), hops=1, now=0, lacks=lacks)
    gossip.on_prune(A)
    gossip.on_round_trip(A, 1)
    outputs: list[Output] = [*gossip.on_want(A, ids(0), eager=True), *gossip.on_down(A, now=0)]

    assert (outputs, gossip.missing_count) == ([], 0)


def test_a_link_with_ignored_announcements_is_reported_for_comparison() -> None:
    """The peer may be honest and slow. Without the comparison its records would be missing until the next repair."""
    heard, given_up, muted, crowded = machine(A, B), machine(A, B), machine(A, B), machine(A, B)

    heard.on_have(A, ids(0), hops=1, now=0, lacks=lacks)
    given_up.on_have(A, ids(0), hops=1, now=0, lacks=lacks)
    asks(given_up)
    gave_up_at = lie(muted, DOUBTS_MAX)
    muted.take_neglected()
    muted.on_have(A, ids(LATER), hops=1, now=gave_up_at, lacks=lacks)
    crowded.on_have(A, ids(*range(MISSING_LINK_MAX + 1)), hops=1, now=0, lacks=lacks)

    assert [gossip.take_neglected() for gossip in (heard, given_up, muted, crowded)] == [[], [A], [A], [A]]
    assert muted.take_neglected() == []
