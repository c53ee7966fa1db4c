"""One link as gossip sees it: what gathers for it, and when it is not believed."""

from protocol.gossip.tree_link import DOUBTS_MAX, MUTE_S, TreeLink
from protocol.limits import IDS_MAX


def ids(count: int) -> tuple[str, ...]:
    return tuple(f"{number:064x}" for number in range(count))


def test_what_gathers_leaves_in_frames_by_hops() -> None:
    branch = TreeLink(has_outflow=True, has_inflow=True)

    full = [branch.gather(ids(2), 1), branch.gather(ids(1), 3), branch.gather(ids(1), 1)]

    assert full == [[], [], []]
    assert [*branch.take()] == [(1, ids(2) + ids(1)), (3, ids(1))]
    assert [*branch.take()] == []


def test_no_more_gathers_than_one_frame_holds() -> None:
    branch = TreeLink(has_outflow=True, has_inflow=True)
    branch.gather(ids(IDS_MAX - 1), 1)

    full = branch.gather(ids(IDS_MAX + 2), 1)

    assert [len(frame) for frame in full] == [IDS_MAX, IDS_MAX]
    assert [(hops, len(frame)) for hops, frame in branch.take()] == [(1, 1)]


def test_a_doubted_link_is_muted_for_a_while_and_then_sooner_again() -> None:
    branch = TreeLink(has_outflow=True, has_inflow=True)

    for _ in range(DOUBTS_MAX):
        branch.doubt(now=5.0)
    first = [branch.is_muted(now) for now in (5.0, 4.9 + MUTE_S, 5.0 + MUTE_S)]
    for _ in range(DOUBTS_MAX // 2):
        branch.doubt(now=100.0)

    assert (first, branch.is_muted(100.0)) == ([True, True, False], True)
