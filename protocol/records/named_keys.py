"""The keys that a label ever named, as a set that grows without being copied.

Each record may name a new key, and each state of a label has the set as it was at that moment. A set of few keys is a
`frozenset`. Of many keys, all states share one list, and each state has the number of keys that belong to it (as the
versions of a persistent structure do: Driscoll et al., "Making data structures persistent", 1989). So one more key
costs the same, however many there are. Only a state that goes another way than the newest one copies its keys.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Final

FEW_KEYS: Final = 64
"""A set of at most this many keys is copied, which takes 1 us, and written whole."""


class _Shared:
    """The keys of all states that follow from each other, in the order in which they were named.

    `stored`: how many of the first keys are in the store's table of keys. Only the store changes it, in the thread that
    writes.
    """

    __slots__ = ("keys", "places", "stored")

    def __init__(self, keys: Iterable[str], stored: int) -> None:
        self.places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        self.keys = list(self.places)
        self.stored = stored


class ManyKeys(Set[str]):
    """A set of keys. It equals any other set of the same keys."""

    __slots__ = ("_count", "_shared")

    def __init__(self, shared: _Shared, count: int) -> None:
        self._shared = shared
        self._count = count

    @classmethod
    def of(cls, keys: Iterable[str], stored: int = 0) -> "ManyKeys":
        """These keys. `stored`: how many of the first ones are in the store's table of keys."""
        shared = _Shared(keys, stored)
        return cls(shared, len(shared.keys))

    def __contains__(self, key: object) -> bool:
        place = self._shared.places.get(key) if isinstance(key, str) else None
        return place is not None and place < self._count

    def __iter__(self) -> Iterator[str]:
        return iter(self._shared.keys[: self._count])

    def __len__(self) -> int:
        return self._count

    __hash__ = None  # type: ignore[assignment]

    def plus(self, keys: Sequence[str]) -> "ManyKeys":
        """The set with these keys too, none of which it has."""
        shared = self._shared
        if self._count < len(shared.keys):  # another state went on from here
            return ManyKeys.of([*self, *keys])
        for key in keys:
            shared.places[key] = len(shared.keys)
            shared.keys.append(key)
        return ManyKeys(shared, len(shared.keys))

    @property
    def has_stored(self) -> bool:
        """Whether the store's table of keys has the first of these keys, and no others."""
        return self._shared.stored > 0

    def unstored(self) -> list[str]:
        """The keys that are not in the store's table of keys."""
        return self._shared.keys[self._shared.stored : self._count]

    def on_stored(self) -> None:
        """All keys are in the store's table of keys now."""
        self._shared.stored = max(self._shared.stored, self._count)


def with_keys(named: Set[str], keys: Sequence[str]) -> Set[str]:
    """These named keys and further ones: the same set if there are none."""
    new = [key for key in dict.fromkeys(keys) if key not in named]
    if not new:
        return named
    if isinstance(named, ManyKeys):
        return named.plus(new)
    return named_keys([*named, *new])


def named_keys(keys: Iterable[str], stored: int = 0) -> Set[str]:
    """A set of these keys. `stored`: how many of the first ones are in the store's table of keys."""
    found = dict.fromkeys(keys)
    return frozenset(found) if len(found) <= FEW_KEYS and not stored else ManyKeys.of(found, stored)


def kept(named: Set[str], before: Set[str]) -> Set[str]:
    """The same keys as `named`, as a set that follows from `before` if `named` has all keys of `before`.

    The store then writes only the new keys.
    """
    if not isinstance(before, ManyKeys) or not before <= named:
        return named
    return with_keys(before, list(named))
