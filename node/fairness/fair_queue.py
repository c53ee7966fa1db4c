"""A fair queue: items of many sources, taken out one of each source in turn (round robin).

A source that puts in a thousand items then delays the item of another source by one item, and not by a thousand.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class FairQueue(Generic[_T]):
    """The items of one source stay in their order. The callers bound the number of items."""

    def __init__(self) -> None:
        self._by_source: OrderedDict[Hashable, deque[_T]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._by_source)

    def put(self, source: Hashable, item: _T) -> None:
        """Add an item of this source, which may be any value that names the source."""
        self._by_source.setdefault(source, deque()).append(item)

    def drop_for(self, source: Hashable) -> _T | None:
        """Take out the newest item of the source that has most, so that `source` can put one in. None, and nothing is
        taken out, if no source has two items more than `source`.

        So one source cannot keep others out of a queue of bounded length (McKenney, "Stochastic fairness queueing",
        1990).
        """
        items = max(self._by_source.values(), key=len, default=deque[_T]())
        if len(items) < len(self._by_source.get(source, ())) + 2:
            return None
        return items.pop()

    def take(self) -> _T:
        """The next item of the source whose turn it is. The queue is not empty."""
        source, items = self._by_source.popitem(last=False)
        item = items.popleft()
        if items:
            self._by_source[source] = items  # behind all others
        return item
