"""A branch: what gossip knows of one link, whether it stands in the tree, and whether its other end is to be believed.

Announcing costs nothing and is not signed, so a peer can announce what it never sends. A node that asks such a peer
first loses time with every record. So a link whose announcement proved empty is doubted: others are asked before it,
and no shortcut goes over it. Doubted a few times in a row, it is muted for a while.
"""

from typing import Final

from protocol.limits import IDS_MAX

DOUBTS_MAX: Final = 4
"""Times in a row that a link was asked for what it had announced and did not send it, before it is muted."""

MUTE_S: Final = 30.0
"""How long nothing that a muted link announces is believed. It may be honest and slow, so it is not for ever."""


class TreeLink:
    """One link. Times in seconds."""

    __slots__ = (
        "_untold",
        "doubts",
        "has_inflow",
        "has_outflow",
        "is_eager",
        "muted_until",
        "pruned_at",
        "round_trip_s",
    )

    def __init__(self, has_outflow: bool, has_inflow: bool) -> None:
        self.has_outflow = has_outflow
        self.has_inflow = has_inflow
        self.is_eager = True
        self.pruned_at: float | None = None
        """When we last asked the other end not to push."""
        self.round_trip_s: float | None = None
        self.doubts = 0
        self.muted_until: float | None = None
        self._untold: dict[int, list[str]] | None = None

    def is_muted(self, now: float) -> bool:
        return self.muted_until is not None and now < self.muted_until

    def doubt(self, now: float) -> None:
        """It did not send what it had announced."""
        self.doubts += 1
        if self.doubts == DOUBTS_MAX:
            self.doubts = DOUBTS_MAX // 2  # heard again, it has less credit than a new link
            self.muted_until = now + MUTE_S

    def gather(self, ids: tuple[str, ...], hops: int) -> list[tuple[str, ...]]:
        """Keep these until `take`. Gives the frames that are full."""
        if self._untold is None:
            self._untold = {}
        gathered = self._untold.setdefault(hops, [])
        gathered += ids
        if len(gathered) < IDS_MAX:
            return []
        full = frames(tuple(gathered[: len(gathered) // IDS_MAX * IDS_MAX]))
        del gathered[: len(full) * IDS_MAX]
        return full

    def take(self) -> list[tuple[int, tuple[str, ...]]]:
        """What has gathered: hops and ids of one frame each."""
        if self._untold is None:
            return []
        gathered, self._untold = self._untold, None
        return [(hops, frame) for hops, ids in gathered.items() for frame in frames(tuple(ids))]


def frames(ids: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The ids in order, IDS_MAX to a frame."""
    if 0 < len(ids) <= IDS_MAX:
        return [ids]
    return [ids[begin : begin + IDS_MAX] for begin in range(0, len(ids), IDS_MAX)]
