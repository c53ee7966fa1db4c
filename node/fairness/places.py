"""Places: how many connections may be open at once, shared by address.

One address gets at most a quarter of the places, and all strangers together at most three quarters. The last quarter is
for callers on this machine and for listed peers. If a caller finds no place, the connection of a stranger that has been
waiting longest is closed for it: one of the same address if that address has its share, otherwise one of the address
that holds most places. A connection waits while its client has something to do: send a request or the rest of one, or
read an answer. So nobody loses an answer that the node has still to make, with one exception. Whoever rents many
addresses gets them next to each other, and could keep all places busy. So if no connection waits, one of the neighbours
that hold most places is closed, if they hold more than twice as many as those of the newcomer.
"""

from collections import Counter
from typing import Protocol

import msgspec

from node.fairness.addresses import neighbours_of


class Source(msgspec.Struct, frozen=True):
    """Where a connection comes from: its address or IPv6 network.

    `is_stranger`: it is neither on this machine nor a listed peer. `has_share`: the share of one address limits it. A
    proxy of the operator brings many callers under one address, so it has no such share.
    """

    network: str
    is_stranger: bool = True
    has_share: bool = True

    @property
    def payer(self) -> str | None:
        """The share that pays for what this caller causes before it has proved its key; None: no share pays."""
        return self.network if self.is_stranger and self.has_share else None


class Guest(Protocol):
    """A connection that holds a place."""

    source: Source

    def waiting_since_s(self) -> float | None:
        """Since when it has been waiting for its client, in the loop's seconds. None: it does not wait."""

    def close_for_another(self) -> None:
        """Close at once, because another caller gets the place."""


class Places:
    """The places for connections, and who holds them."""

    def __init__(self, places_max: int) -> None:
        self.places_max = places_max
        self.strangers_max = max(1, places_max * 3 // 4)
        self.share_max = max(1, places_max // 4)
        self._guests: dict[Guest, None] = {}
        self._by_network: Counter[str] = Counter()
        self._by_neighbours: Counter[str | None] = Counter()
        self._strangers = 0

    @property
    def taken(self) -> int:
        return len(self._guests)

    def enter(self, guest: Guest) -> bool:
        """Give the guest a place. False if there is none, and none can be made."""
        while self._is_full(guest.source):
            leaving = self._longest_waiting(guest.source) or self._of_greedy_neighbours(guest.source)
            if leaving is None:
                return False
            self.leave(leaving)
            leaving.close_for_another()
        self._guests[guest] = None
        self._by_network[guest.source.network] += 1
        self._by_neighbours[_neighbours(guest)] += 1
        self._strangers += guest.source.is_stranger
        return True

    def leave(self, guest: Guest) -> bool:
        """The guest gives its place back. False if it had none any more."""
        if guest not in self._guests:
            return False
        del self._guests[guest]
        network = guest.source.network
        self._by_network[network] -= 1
        if not self._by_network[network]:
            del self._by_network[network]
        self._by_neighbours[_neighbours(guest)] -= 1
        if not self._by_neighbours[_neighbours(guest)]:
            del self._by_neighbours[_neighbours(guest)]
        self._strangers -= guest.source.is_stranger
        return True

    def pass_on(self, guest: Guest, successor: Guest) -> bool:
        """Give the guest's place to its successor from the same source. False if the guest has lost it."""
        if guest not in self._guests:
            return False
        del self._guests[guest]
        self._guests[successor] = None
        return True

    def guests(self) -> list[Guest]:
        return list(self._guests)

    def _is_full(self, source: Source) -> bool:
        is_full_of_strangers = source.is_stranger and self._strangers >= self.strangers_max
        return self._has_its_share(source) or is_full_of_strangers or len(self._guests) >= self.places_max

    def _has_its_share(self, source: Source) -> bool:
        return source.has_share and self._by_network[source.network] >= self.share_max

    def _longest_waiting(self, source: Source) -> Guest | None:
        """The guest that goes if this source gets a place. None if no guest waits."""
        own = source.network if self._has_its_share(source) else None
        waiting = (
            (-self._by_network[guest.source.network], since_s, number, guest)
            for number, guest in enumerate(self._guests)
            if (guest.source.is_stranger if own is None else guest.source.network == own)
            and (since_s := guest.waiting_since_s()) is not None
        )
        return min(waiting, default=(0, 0.0, 0, None))[-1]

    def _of_greedy_neighbours(self, source: Source) -> Guest | None:
        """A guest of the neighbours that hold most places. None if they do not hold twice as many as those of this
        source would, or if this source has used up the share of its address.
        """
        held = {each: count for each, count in self._by_neighbours.items() if each is not None}
        if not source.is_stranger or self._has_its_share(source) or not held:
            return None  # callers on this machine and listed peers have places of their own
        greedy = max(held, key=held.__getitem__)
        if held[greedy] <= 2 * (held.get(neighbours_of(source.network), 0) + 1):
            return None
        return next(guest for guest in self._guests if _neighbours(guest) == greedy)


def _neighbours(guest: Guest) -> str | None:
    """The network in which the guest has neighbours. None if no share of an address limits it, as for a proxy."""
    source = guest.source
    return neighbours_of(source.network) if source.is_stranger and source.has_share else None
