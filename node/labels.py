"""The state of each label that is being written to, as decided: it runs ahead of the disk by what is not committed yet.

Decisions need a label's state at once, and commits take a while; so the newest states are kept here, and one that is
not committed is never forgotten. Should a commit fail, the node stops, so what ran ahead is never seen.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable

from node.commits import Decided
from node.store import LabelKey, Store
from protocol.replay import EMPTY, State


class Labels:
    """The states of about `cached_max` labels, the most recently written."""

    def __init__(self, store: Store, cached_max: int) -> None:
        self._store = store
        self._cached_max = cached_max
        self._states: OrderedDict[LabelKey, State] = OrderedDict()
        self._uncommitted: Counter[LabelKey] = Counter()

    async def load(self, keys: Iterable[LabelKey]) -> None:
        """See to it that `state` knows these labels."""
        missing = []
        for key in keys:
            if key in self._states:
                self._states.move_to_end(key)
            else:
                missing.append(key)
        if missing:
            found = await self._store.states(missing)
            self._states.update((key, found.get(key, EMPTY)) for key in missing)

    def state(self, key: LabelKey) -> State:
        return self._states[key]

    def on_decided(self, states: dict[LabelKey, State]) -> None:
        self._states.update(states)
        self._uncommitted.update(states.keys())

    def on_committed(self, committed: Decided) -> None:
        uncommitted = self._uncommitted
        for key in committed.batch.states:
            left = uncommitted.pop(key) - 1
            if left:
                uncommitted[key] = left

    def shrink(self) -> None:
        """Forget the labels longest unused, down to the limit; called between decisions."""
        while len(self._states) > self._cached_max:
            key = next(iter(self._states))
            if key in self._uncommitted:
                return
            del self._states[key]
