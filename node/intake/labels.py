"""Label states as decided, in memory: ahead of the disk by the batches that are not committed yet.

A decision needs a label's state at once, and a commit takes a while. So the newest states stay here, and a state that
is not committed is never dropped. If a commit fails, the node stops, so nobody sees the states that were ahead.

States that are not here are read from the store while signatures are verified. If another group decides on a label
meanwhile, the decision counts and the read state is dropped.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

from node.store.contract import STATES_FEW, LabelKey, Store
from protocol.records.replay import EMPTY, State


class Labels:
    """The states of about `cached_max` labels, the most recently used. So `few` labels or less are not read ahead."""

    def __init__(self, store: Store, cached_max: int, few: int = STATES_FEW) -> None:
        self.few = few
        self._store = store
        self._cached_max = cached_max
        self._states: OrderedDict[LabelKey, State] = OrderedDict()
        self._uncommitted: deque[dict[LabelKey, State]] = deque()
        """The states of each group that is decided and not committed, in the order of the decisions."""
        self._fetching: dict[LabelKey, object] = {}
        """Labels that are being read, each with the token of the reading call, until somebody decides on the label."""

    def missing(self, keys: Iterable[LabelKey]) -> list[LabelKey]:
        """The labels among these to read ahead: they are not here, and nobody is reading them; each once.

        A few labels are not worth it, because the store reads them in no time when they are needed.
        """
        missing = [key for key in dict.fromkeys(keys) if key not in self._states and key not in self._fetching]
        return missing if len(missing) > self.few else []

    async def fetch(self, keys: Sequence[LabelKey]) -> None:
        """Read these missing labels while other groups are decided, so that `load` has less to do.

        A task may begin this after another group has decided on some of the labels. Their states are ahead of the
        store, so they are not read.
        """
        keys = [key for key in keys if key not in self._states]
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
        """Make `state` know these labels. Nobody may decide until this returns."""
        missing = []
        for key in keys:
            if key in self._states:
                self._states.move_to_end(key)
            else:
                missing.append(key)
        if missing:
            found = await self._store.states(missing)
            for key in missing:  # a replay may have decided on the label meanwhile
                self._states.setdefault(key, found.get(key, EMPTY))

    def state(self, key: LabelKey) -> State:
        return self._states[key]

    def on_decided(self, states: dict[LabelKey, State]) -> None:
        for key, state in states.items():  # half the time of `update`, which makes a list of new tuples first
            self._states[key] = state
        if states:
            self._uncommitted.append(states)
        for key in self._fetching.keys() & states.keys():
            del self._fetching[key]

    def on_committed(self, states: dict[LabelKey, State]) -> None:
        """The states of the next group are on disk. Commits keep the order of decisions."""
        if states:
            committed = self._uncommitted.popleft()
            assert committed is states, "what is decided is committed, in its order"

    def shrink(self) -> None:
        """Drop the labels that were unused the longest, down to the limit. Called between decisions."""
        while len(self._states) > self._cached_max:
            key = next(iter(self._states))
            if any(key in states for states in self._uncommitted):
                return
            del self._states[key]
