"""Places are shared by address, some are kept for neighbours and listed peers, and whoever waits longest goes first."""

import pytest

from node.fairness.places import Guest, Places, Source


class Connection:
    """A guest. `since_s` None: a request of it is under way."""

    def __init__(self, network: str, since_s: float | None = None, **source: bool) -> None:
        self.source = Source(network, **source)
        self.since_s = since_s
        self.is_closed = False

    def waiting_since_s(self) -> float | None:
        return self.since_s

    def close_for_another(self) -> None:
        self.is_closed = True


def stranger(number: int, since_s: float | None = None) -> Connection:
    """A connection of a stranger with an address of its own."""
    return Connection(f"192.0.2.{number}", since_s)


def neighbour() -> Connection:
    return Connection("127.0.0.1", is_stranger=False, has_share=False)


def full(places: Places, *guests: Guest) -> list[bool]:
    return [places.enter(guest) for guest in guests]


def test_one_address_gets_a_quarter_of_the_places() -> None:
    places = Places(16)

    entered = full(places, *(Connection("192.0.2.1") for _ in range(5)))

    assert entered == [True] * 4 + [False]


def test_strangers_get_three_quarters_of_the_places() -> None:
    places = Places(16)

    strangers = full(places, *map(stranger, range(13)))
    neighbours = full(places, *(neighbour() for _ in range(5)))

    assert strangers == [True] * 12 + [False]
    assert neighbours == [True] * 4 + [False]
    assert places.taken == 16


def test_a_listed_peer_gets_one_of_the_kept_places() -> None:
    places = Places(8)

    full(places, *map(stranger, range(6)))

    assert full(places, stranger(7), Connection("198.51.100.1", is_stranger=False)) == [False, True]


def test_a_proxy_of_the_operator_has_no_share_of_one_address() -> None:
    places = Places(16)

    entered = full(places, *(Connection("10.0.0.1", has_share=False) for _ in range(13)))

    assert entered == [True] * 12 + [False]


def test_a_stranger_that_waits_goes_for_a_caller_that_comes() -> None:
    places = Places(8)
    waiting = [stranger(number, since_s=10.0 - number) for number in range(6)]
    full(places, *waiting)

    entered = places.enter(stranger(7))

    assert entered
    assert [each.is_closed for each in waiting] == [False] * 5 + [True], "the one that has waited longest"
    assert places.taken == 6


def test_the_address_with_most_places_gives_one_first() -> None:
    places = Places(16)
    many = [Connection("192.0.2.1", since_s=5.0 + number) for number in range(3)]
    others = [stranger(number, since_s=0.0) for number in range(10, 19)]
    full(places, *many, *others)

    places.enter(stranger(99))

    assert [each.is_closed for each in many] == [True, False, False]
    assert not any(each.is_closed for each in others)


def test_an_address_with_its_share_gives_one_of_its_own() -> None:
    places = Places(8)
    own = [Connection("192.0.2.1", since_s=number) for number in (2.0, 1.0)]
    other = stranger(9, since_s=0.0)
    full(places, *own, other)

    assert places.enter(Connection("192.0.2.1"))
    assert [each.is_closed for each in (*own, other)] == [False, True, False]


def test_neither_a_busy_connection_nor_a_neighbours_is_closed_for_another() -> None:
    places = Places(8)
    busy, idle_neighbours = [stranger(number) for number in range(6)], [neighbour() for _ in range(2)]
    for each in idle_neighbours:
        each.since_s = 0.0

    full(places, *busy, *idle_neighbours)

    assert full(places, stranger(9), neighbour()) == [False, False]


def test_a_place_that_is_given_back_twice_counts_once() -> None:
    places = Places(8)
    guest = stranger(1)
    places.enter(guest)

    assert [places.leave(guest), places.leave(guest), places.taken] == [True, False, 0]


def test_a_place_is_passed_on_unless_it_was_lost() -> None:
    places = Places(8)
    kept, lost = stranger(1), stranger(2)
    full(places, kept, lost)
    places.leave(lost)

    passed = [places.pass_on(guest, stranger(3)) for guest in (kept, lost)]

    assert passed == [True, False]
    assert places.taken == 1


@pytest.mark.parametrize("places_max", [1, 2, 3])
def test_a_stranger_finds_a_place_however_few_there_are(places_max: int) -> None:
    assert Places(places_max).enter(stranger(1))


def test_neighbours_that_keep_most_places_busy_give_way_to_a_newcomer_from_elsewhere() -> None:
    places = Places(16)
    busy = [stranger(number) for number in range(12)]
    full(places, *busy)

    newcomers = [Connection(f"198.51.100.{number}") for number in range(5)]

    assert full(places, stranger(12), *newcomers) == [False, True, True, True, True, False]
    assert [guest.is_closed for guest in busy] == [True] * 4 + [False] * 8
    assert not any(guest.is_closed for guest in newcomers)


def test_a_proxy_of_the_operator_has_no_neighbours_and_keeps_its_busy_connections() -> None:
    places = Places(16)
    through_the_proxy = [Connection("192.0.2.1", has_share=False) for _ in range(12)]
    full(places, *through_the_proxy)

    assert full(places, Connection("198.51.100.1")) == [False]
    assert not any(guest.is_closed for guest in through_the_proxy)
