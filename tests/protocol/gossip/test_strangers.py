"""What a stranger does never changes how two listed peers treat each other."""

from random import Random

from protocol.gossip.missing import ANNOUNCERS_MAX, ASKS_MAX, MISSING_LINK_MAX, MISSING_OF_STRANGERS_MAX
from protocol.gossip.plumtree import Plumtree, PlumtreeLimits, SendPrune, SendRecords, SendWant
from tests.protocol.gossip.test_plumtree import FIRST_WAIT_S, asks, ids, lacks, make_lazy, record

PEER, OTHER_PEER, STRANGER = range(3)
"""Links: two to listed peers, one to a stranger."""

NOW_S = 100.0
DELAY_S = 50.0
"""As long as a stranger may keep back a record that it announced."""


def machine(*, strangers: int = 1, peers: int = 2) -> Plumtree:
    gossip = Plumtree(PlumtreeLimits(), Random(1))
    for link in range(peers):
        gossip.on_up(link)
    for link in range(STRANGER, STRANGER + strangers):
        gossip.on_up(link, is_listed=False)
    return gossip


def test_a_listed_peer_is_not_pruned_because_a_stranger_was_faster() -> None:
    gossip = machine()
    gossip.on_records(ids(1), hops=1, source=STRANGER, now=NOW_S)

    outputs = gossip.on_duplicates(ids(1), hops=2, source=PEER, now=NOW_S)

    assert outputs == []
    assert gossip.is_eager(PEER)


def test_a_stranger_is_pruned_because_a_listed_peer_was_faster() -> None:
    gossip = machine()
    gossip.on_records(ids(1), hops=1, source=PEER, now=NOW_S)

    assert gossip.on_duplicates(ids(1), hops=1, source=STRANGER, now=NOW_S) == [SendPrune(STRANGER)]


def test_one_of_two_strangers_is_pruned_for_the_other() -> None:
    gossip = machine(strangers=2)
    gossip.on_records(ids(1), hops=1, source=STRANGER, now=NOW_S)

    assert gossip.on_duplicates(ids(1), hops=1, source=STRANGER + 1, now=NOW_S) == [SendPrune(STRANGER + 1)]


def test_a_stranger_is_no_shortcut_in_place_of_a_listed_peer() -> None:
    """A stranger may promise any number of hops."""
    gossip = machine()
    make_lazy(gossip, STRANGER)
    gossip.on_have(STRANGER, ids(1), hops=1, now=NOW_S, lacks=lacks)

    outputs = gossip.on_records(ids(1), hops=20, source=PEER, now=NOW_S)

    assert not any(isinstance(output, SendPrune) for output in outputs)
    assert (gossip.is_eager(PEER), gossip.is_eager(STRANGER)) == (True, False)


def wait_s(gossip: Plumtree) -> float:
    """How long the node waits for a record that a peer announces now."""
    gossip.on_have(OTHER_PEER, ids(999), hops=1, now=NOW_S, lacks=lacks)
    assert gossip.next_at is not None
    return gossip.next_at - NOW_S


def test_waits_that_a_stranger_caused_do_not_teach_the_node_to_wait() -> None:
    gossip = machine()
    gossip.on_have(STRANGER, ids(1), hops=1, now=NOW_S - DELAY_S, lacks=lacks)
    gossip.on_records(ids(1), hops=1, source=STRANGER, now=NOW_S)
    gossip.on_round_trip(STRANGER, DELAY_S)

    assert wait_s(gossip) <= FIRST_WAIT_S


def test_a_listed_peer_is_asked_before_a_stranger() -> None:
    gossip = machine()
    gossip.on_have(STRANGER, ids(1), hops=1, now=NOW_S, lacks=lacks)
    gossip.on_have(PEER, ids(1), hops=1, now=NOW_S, lacks=lacks)

    assert asks(gossip)[0] == (PEER, ids(1))


def test_strangers_leave_room_for_what_listed_peers_announce() -> None:
    links = MISSING_OF_STRANGERS_MAX // MISSING_LINK_MAX + 1
    gossip = machine(strangers=links)
    for link in range(links):
        announced = tuple(record(link * MISSING_LINK_MAX + number) for number in range(MISSING_LINK_MAX))
        gossip.on_have(STRANGER + link, announced, hops=1, now=NOW_S, lacks=lacks)
    assert gossip.missing_count == MISSING_OF_STRANGERS_MAX

    gossip.on_have(PEER, ids(links * MISSING_LINK_MAX), hops=1, now=NOW_S, lacks=lacks)

    assert gossip.missing_count == MISSING_OF_STRANGERS_MAX + 1


def test_strangers_leave_a_place_among_the_announcers_for_a_listed_peer() -> None:
    gossip = machine(strangers=ANNOUNCERS_MAX)
    for link in range(STRANGER, STRANGER + ANNOUNCERS_MAX):
        gossip.on_have(link, ids(1), hops=1, now=NOW_S, lacks=lacks)

    gossip.on_have(PEER, ids(1), hops=1, now=NOW_S, lacks=lacks)

    first = next(output for output in gossip.on_time(gossip.next_at or 0.0) if isinstance(output, SendWant))
    assert first.link == PEER


def test_a_peer_is_not_muted_because_it_passes_on_receipts_that_name_made_up_records() -> None:
    """Otherwise a stranger who is a witness of a domain could make all nodes ignore each other's announcements."""
    gossip = machine(strangers=0)
    gossip.on_named(PEER, ids(*range(10)), hops=1, now=NOW_S, lacks=lacks)

    wanted = [record_id for _, group in asks(gossip) for record_id in group]
    gossip.on_have(PEER, ids(11), hops=1, now=NOW_S, lacks=lacks)

    assert sorted(wanted) == sorted(ASKS_MAX * ids(*range(10)))
    assert (gossip.take_neglected(), gossip.missing_count) == ([], 1)


def test_named_records_leave_room_for_announced_ones() -> None:
    gossip = machine(strangers=0)
    gossip.on_named(PEER, ids(*range(MISSING_LINK_MAX + 1)), hops=1, now=NOW_S, lacks=lacks)
    gossip.on_named(OTHER_PEER, ids(MISSING_LINK_MAX + 1), hops=1, now=NOW_S, lacks=lacks)
    named = gossip.missing_count

    gossip.on_have(PEER, ids(*range(2 * MISSING_LINK_MAX, 3 * MISSING_LINK_MAX)), hops=1, now=NOW_S, lacks=lacks)

    assert (named, gossip.missing_count) == (MISSING_LINK_MAX, 2 * MISSING_LINK_MAX)


def test_a_named_record_that_a_peer_announces_later_is_a_promise() -> None:
    gossip = machine(strangers=0)
    gossip.on_named(PEER, ids(1), hops=1, now=NOW_S, lacks=lacks)
    gossip.on_have(PEER, ids(1), hops=1, now=NOW_S, lacks=lacks)

    outputs = gossip.on_records(ids(1), hops=1, source=OTHER_PEER, now=NOW_S)

    assert PEER not in [output.link for output in outputs]


def test_a_record_goes_to_the_peer_whose_receipt_named_it() -> None:
    """This peer may lack the record, and no other peer may have announced it to this one."""
    gossip = machine(strangers=0)
    gossip.on_named(PEER, ids(1), hops=1, now=NOW_S, lacks=lacks)

    assert gossip.on_records(ids(1), hops=1, source=OTHER_PEER, now=NOW_S) == [SendRecords(PEER, ids(1), 2)]
