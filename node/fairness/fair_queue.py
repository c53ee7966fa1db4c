"""A fair queue: items of many sources, taken out one of each source in turn (round robin).

A source that puts in a thousand items then delays the item of another source by one item, and not by a thousand.
Whoever rents many addresses gets them next to each other. So networks of 24 bits (IPv6: 48 bits) take turns first, and
then the addresses in each (hierarchical fair sharing, as in `node.fairness.crowd`): a thousand addresses of a provider
delay an item of an address elsewhere by few items too.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

from node.fairness.addresses import neighbours_of

_T = TypeVar("_T")


class FairQueue(Generic[_T]):
    """The items of one source stay in their order. The callers bound the number of items."""

    def __init__(self) -> None:
        self._networks: OrderedDict[Hashable, OrderedDict[Hashable, deque[_T]]] = OrderedDict()
        """The items by source, and the sources by network."""

    def __bool__(self) -> bool:
        return bool(self._networks)

    def put(self, source: Hashable, item: _T) -> None:
        """Add an item of this source: an address, a tuple that begins with one, or any other value."""
        sources = self._networks.setdefault(_network_of(source), OrderedDict())
        sources.setdefault(source, deque()).append(item)

    def drop_for(self, source: Hashable) -> _T | None:
        """Take out the newest item of the source that has most, so that `source` can put one in. None, and nothing is
        taken out, if no source has two items more than `source`. The network that has most gives one up first.

        So one source cannot keep others out of a queue of bounded length (McKenney, "Stochastic fairness queueing",
        1990).
        """
        own_network = _network_of(source)
        greedy = max(self._networks, key=self._items_of, default=own_network)
        if self._items_of(greedy) < self._items_of(own_network) + 2:
            greedy = own_network
        sources = self._of_network(greedy)
        items = max(sources.values(), key=len, default=deque[_T]())
        if greedy == own_network and len(items) < len(sources.get(source, ())) + 2:
            return None
        dropped = items.pop()
        if not items:
            self._forget_empty(greedy)
        return dropped

    def take(self) -> _T:
        """The next item of the source whose turn it is. The queue is not empty."""
        network, sources = self._networks.popitem(last=False)
        source, items = sources.popitem(last=False)
        item = items.popleft()
        if items:
            sources[source] = items  # behind all others
        if sources:
            self._networks[network] = sources
        return item

    def _of_network(self, network: Hashable) -> Mapping[Hashable, deque[_T]]:
        return self._networks.get(network, {})

    def _items_of(self, network: Hashable) -> int:
        return sum(map(len, self._of_network(network).values()))

    def _forget_empty(self, network: Hashable) -> None:
        """Forget the sources of this network that have no items, and the network if it has no sources."""
        sources = self._networks[network]
        for source in [each for each, items in sources.items() if not items]:
            del sources[source]
        if not sources:
            del self._networks[network]


def _network_of(source: Hashable) -> Hashable:
    """The network whose turns the source shares. A source without an address has turns of its own."""
    address = source[0] if isinstance(source, tuple) else source
    return neighbours_of(address) if isinstance(address, str) else source
