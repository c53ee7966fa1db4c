"""Copies: keys with which two processes run, because somebody copied a data folder and started the copy.

Nodes know each other by their keys, so peers take two processes with one key for one node. Each process replaces the
links of the other, for ever. To tell them apart, a node draws an *instance* at each start, 32 hex digits, and says it
in its `hello` and in `GET /node`.

A node that starts again has a new instance too. But an instance that was replaced by another one never comes back,
unless both processes run. So if X is seen, then Y, then X again, the key has a copy. An open link shows its instance
again with every answer to a ping.
"""

from collections import OrderedDict
from typing import Final

import msgspec

COPIED_S: Final = 600.0
"""Seconds for which a key counts as copied after the last sign. Longer than the pause of a node that is refused."""

KEYS_MAX: Final = 1_024
"""Keys that are remembered. Strangers can prove any number of keys."""

INSTANCES_MAX: Final = 8
"""Earlier instances of one key that are remembered: more than the copies that anybody starts by mistake."""

REMEDY: Final = "stop one of the two; to keep the copy, delete its node.key, start it, and add it to its peers again"

IS_COPIED: Final = f"another node runs with the same key, on a copy of the data folder: {REMEDY}"
"""What both nodes are told."""


class _Seen(msgspec.Struct):
    """One key: its last instance, the instances before it, oldest first, and when the last sign of a copy came."""

    instance: str
    replaced: list[str] = msgspec.field(default_factory=list)
    copied_at: float | None = None


class Copies:
    """What one node has seen of the instances of each key. Times are seconds of one clock that never goes back."""

    def __init__(self) -> None:
        self._keys: OrderedDict[str, _Seen] = OrderedDict()

    def see(self, key: str, instance: str, now: float) -> None:
        """A process has shown that it runs now and holds this key. `instance` is empty if it does not say it."""
        if not instance:
            return
        seen = self._keys.setdefault(key, _Seen(instance))
        self._keys.move_to_end(key)
        if len(self._keys) > KEYS_MAX:
            self._keys.popitem(last=False)
        if seen.instance == instance:
            return
        if instance in seen.replaced:
            seen.replaced.remove(instance)
            seen.copied_at = now
        seen.replaced = [*seen.replaced, seen.instance][-INSTANCES_MAX:]
        seen.instance = instance

    def is_copied(self, key: str, now: float) -> bool:
        """Whether two processes ran with this key within the last `COPIED_S` seconds."""
        seen = self._keys.get(key)
        return seen is not None and seen.copied_at is not None and now - seen.copied_at < COPIED_S
