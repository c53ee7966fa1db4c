"""A fair queue gives one item of each source in turn."""

from node.fairness.fair_queue import FairQueue


def drain(queue: FairQueue[str]) -> list[str]:
    taken = []
    while queue:
        taken.append(queue.take())
    return taken


def test_sources_take_turns_and_the_items_of_one_source_keep_their_order() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        queue.put(item[0], item)

    assert drain(queue) == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_a_source_that_comes_later_waits_for_one_item_of_each_other_source() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(100):
        queue.put("flood", f"flood {number}")
    queue.take()

    queue.put("late", "late")

    assert [queue.take(), queue.take()] == ["flood 1", "late"]


def test_a_source_with_much_less_takes_the_place_of_the_newest_item_of_the_one_with_most() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "a3", "b1", "b2"):
        queue.put(item[0], item)

    dropped = [queue.drop_for("c"), queue.drop_for("b"), queue.drop_for("a")]

    assert dropped == ["a3", None, None]
    assert drain(queue) == ["a1", "b1", "a2", "b2"]
