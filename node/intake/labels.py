"""The state of each label that is being written to, as decided: it runs ahead of the disk by what is not committed yet.

Decisions need a label's state at once, and commits take a while; so the newest states are kept here, and one that is
not committed is never forgotten. Should a commit fail, the node stops, so what ran ahead is never seen.

What is not here is read ahead, while signatures are verified. Meanwhile others may decide on the label, and what was
decided counts, not what was read.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence

from node.store.contract import LabelKey, Store
from protocol.records.replay import EMPTY, State


class Labels:
    """The states of about `cached_max` labels, the most recently written."""

    def __init__(self, store: Store, cached_max: int) -> None:
        self._store = store
        self._cached_max = cached_max
        self._states: OrderedDict[LabelKey, State] = OrderedDict()
        self._uncommitted: Counter[LabelKey] = Counter()
        self._fetching: dict[LabelKey, object] = {}
        """Labels being read ahead, each with a token of the call that does it, as long as nothing was decided on it."""

    def missing(self, keys: Iterable[LabelKey]) -> list[LabelKey]:
        """Those of these labels that are not here, and that nobody reads ahead; each once."""
        return [key for key in dict.fromkeys(keys) if key not in self._states and key not in self._fetching]

    async def fetch(self, keys: Sequence[LabelKey]) -> None:
        """Read these missing labels ahead, beside decisions; `load` has then less to do, or nothing."""
        token = object()
        self._fetching |= dict.fromkeys(keys, token)
        try:
            found = await self._store.states(keys)
        finally:
            current = [key for key in keys if self._fetching.get(key) is token]
            for key in current:
                del self._fetching[key]
        self._states.update((key, found.get(key, EMPTY)) for key in current)

    async def load(self, keys: Iterable[LabelKey]) -> None:
        """See to it that `state` knows these labels; nothing may be decided until it has returned."""
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
        for key in self._fetching.keys() & states.keys():
            del self._fetching[key]

    def on_committed(self, keys: Iterable[LabelKey]) -> None:
        uncommitted = self._uncommitted
        for key in keys:
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
