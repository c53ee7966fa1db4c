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


def test_networks_take_turns_before_the_addresses_in_them() -> None:
    """A provider's thousand addresses delay an address elsewhere by one item."""
    queue: FairQueue[str] = FairQueue()
    for item in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8:1:1::/64", "2001:db8:1:2::/64", "198.51.100.1"):
        queue.put(item, item)

    assert drain(queue) == [
        "192.0.2.1", "2001:db8:1:1::/64", "198.51.100.1", "192.0.2.2", "2001:db8:1:2::/64", "192.0.2.3"
    ]  # fmt: skip


def test_sources_that_begin_with_an_address_take_turns_within_its_network() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("192.0.2.1 batch", "192.0.2.1 claim", "192.0.2.2 claim", "198.51.100.1 claim"):
        queue.put(tuple(item.split()), item)

    assert drain(queue) == ["192.0.2.1 batch", "198.51.100.1 claim", "192.0.2.1 claim", "192.0.2.2 claim"]


def test_a_network_of_many_addresses_with_one_item_each_makes_room_for_another_network() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("192.0.2.1", "192.0.2.2", "198.51.100.1"):
        queue.put(item, item)

    dropped = [queue.drop_for(source) for source in ("192.0.2.3", "198.51.100.2", "203.0.113.1", "203.0.113.1")]

    assert dropped == [None, None, "192.0.2.1", None]
    assert drain(queue) == ["192.0.2.2", "198.51.100.1"]
