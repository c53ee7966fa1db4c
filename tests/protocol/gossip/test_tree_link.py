"""One link as Plumtree sees it: the ids gathered for it, and when it is muted."""

from protocol.gossip.tree_link import DOUBTS_MAX, MUTE_S, TreeLink
from protocol.limits import IDS_MAX


def ids(count: int) -> tuple[str, ...]:
    return tuple(f"{number:064x}" for number in range(count))


def test_gathered_ids_leave_in_one_frame_for_each_number_of_hops() -> None:
    link = TreeLink(has_outflow=True, has_inflow=True, is_listed=True)

    full = [link.gather(ids(2), 1), link.gather(ids(1), 3), link.gather(ids(1), 1)]

    assert full == [[], [], []]
    assert [*link.take()] == [(1, ids(2) + ids(1)), (3, ids(1))]
    assert [*link.take()] == []


def test_a_link_gathers_at_most_one_frame() -> None:
    link = TreeLink(has_outflow=True, has_inflow=True, is_listed=True)
    link.gather(ids(IDS_MAX - 1), 1)

    full = link.gather(ids(IDS_MAX + 2), 1)

    assert [len(frame) for frame in full] == [IDS_MAX, IDS_MAX]
    assert [(hops, len(frame)) for hops, frame in link.take()] == [(1, 1)]


def test_a_link_is_muted_for_a_while_after_some_doubts_and_after_fewer_the_next_time() -> None:
    link = TreeLink(has_outflow=True, has_inflow=True, is_listed=True)

    first_at, second_at = 5.0, 100.0

    for _ in range(DOUBTS_MAX):
        link.doubt(now=first_at)
    first = [link.is_muted(now) for now in (first_at, first_at + MUTE_S - 0.1, first_at + MUTE_S)]
    for _ in range(DOUBTS_MAX // 2):
        link.doubt(now=second_at)

    assert (first, link.is_muted(second_at)) == ([True, True, False], True)
