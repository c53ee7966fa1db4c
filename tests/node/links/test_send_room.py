"""What waits for the sockets of all links has one limit, and a link whose peer reads is never held up."""

import pytest

from node.fairness.byte_budget import ByteBudget
from node.links.send_room import FEW_BYTES, SEND_BYTES_MAX, SendRoom, send_budget

SHARE_OF_STRANGERS = SEND_BYTES_MAX * 3 // 4
SHARE_OF_ADDRESS = SEND_BYTES_MAX // 4


def filled(strangers: int = 0, listed: int = 0) -> ByteBudget:
    """The budget of all links, with so many bytes of strangers of several addresses, and of listed peers."""
    budget = send_budget()
    for number in range(4):
        budget.add(f"192.0.2.{number}", strangers // 4)
    budget.add(None, listed)
    return budget


def test_a_link_whose_peer_reads_is_not_held_up_by_others_that_do_not() -> None:
    room = SendRoom(filled(strangers=SEND_BYTES_MAX), "192.0.2.99")

    room.add(FEW_BYTES)

    assert not room.is_full
    assert room.load_bytes == FEW_BYTES


def test_a_stranger_that_does_not_read_gets_nothing_more_once_strangers_have_used_their_share() -> None:
    room = SendRoom(filled(strangers=SHARE_OF_STRANGERS), "192.0.2.99")

    room.add(FEW_BYTES + 1)

    assert room.is_full


def test_strangers_leave_a_quarter_to_listed_peers() -> None:
    room = SendRoom(filled(strangers=SHARE_OF_STRANGERS), None)

    room.add(SEND_BYTES_MAX - SHARE_OF_STRANGERS)
    was_full = room.is_full
    room.add(1)

    assert (was_full, room.is_full) == (False, True)


def test_the_links_of_one_address_share_a_quarter() -> None:
    budget = send_budget()
    first, second = (SendRoom(budget, "192.0.2.1") for _ in range(2))
    other = SendRoom(budget, "192.0.2.2")

    first.add(SHARE_OF_ADDRESS)
    second.add(FEW_BYTES + 1)
    other.add(FEW_BYTES + 1)

    assert [room.is_full for room in (first, second, other)] == [True, True, False]


@pytest.mark.parametrize(("held", "expected"), [(0, SHARE_OF_ADDRESS // 4), (SHARE_OF_ADDRESS, FEW_BYTES)])
def test_a_link_loads_a_part_of_what_is_left_and_always_a_record(held: int, expected: int) -> None:
    room = SendRoom(send_budget(), "192.0.2.1")

    room.add(held)

    assert room.load_bytes == expected


def test_a_link_counts_as_a_listed_peer_once_its_peer_has_proved_its_key() -> None:
    budget = send_budget()
    room = SendRoom(budget, "192.0.2.1")
    room.add(1_000)

    room.move(None)

    assert (budget.held_bytes, budget.held_by("192.0.2.1"), room.held_bytes) == (1_000, 0, 1_000)


def test_a_link_that_is_over_gives_everything_back() -> None:
    budget = send_budget()
    room = SendRoom(budget, "192.0.2.1")
    room.add(1_000)

    room.close()

    assert (budget.held_bytes, room.held_bytes) == (0, 0)
