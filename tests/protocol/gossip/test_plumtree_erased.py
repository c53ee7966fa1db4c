"""A peer that announced a record and then does not give it, because its operator erased the record meanwhile."""

from random import Random

from protocol.gossip.plumtree import Plumtree, PlumtreeLimits, SendWant

ID = "ab" * 32


def machine() -> Plumtree:
    plumtree = Plumtree(PlumtreeLimits(), Random(0))
    for link in (1, 2):
        plumtree.on_up(link)
    return plumtree


def test_the_other_announcer_is_asked_at_once() -> None:
    plumtree = machine()
    for link in (1, 2):
        plumtree.on_have(link, (ID,), 1, 0.0, lambda _: True)
    due_at = plumtree.next_at
    assert due_at is not None
    (first,) = plumtree.on_time(due_at)
    assert isinstance(first, SendWant)

    plumtree.on_erased(first.link, (ID,), due_at)

    assert plumtree.on_time(due_at) == [SendWant(3 - first.link, (ID,), eager=True)]


def test_a_record_that_nobody_gives_is_not_missing() -> None:
    plumtree = machine()
    plumtree.on_have(1, (ID,), 1, 0.0, lambda _: True)

    plumtree.on_erased(1, (ID, "cd" * 32), 0.0)

    assert (plumtree.missing_count, plumtree.next_at, plumtree.take_neglected()) == (0, None, [])
