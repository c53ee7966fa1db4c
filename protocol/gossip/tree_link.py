"""TreeLink: what Plumtree knows of one link, namely whether the link is eager and whether to believe its peer.

An announcement costs nothing and has no signature, so a hostile peer can announce records that it never sends. A node
that asked such a peer first would lose time with every record. Each broken promise therefore raises the link's count of
*doubts*: the node asks other links first, and makes no shortcut over this link. After several doubts in a row the link
is *muted*: for a while the node ignores its announcements.
"""

from typing import Final

from protocol.limits import IDS_MAX

DOUBTS_MAX: Final = 4
"""Broken promises in a row, after which a link is muted. A broken promise: the peer announced a record, the node asked
for it, and the peer did not send it."""

MUTE_S: Final = 30.0
"""How long a muted link stays muted, in seconds. The peer may be honest and slow, so this is not for ever."""


class TreeLink:
    """One link. Times are in seconds."""

    __slots__ = (
        "_unannounced",
        "doubts",
        "has_inflow",
        "has_outflow",
        "is_eager",
        "is_listed",
        "muted_until",
        "pruned_at",
        "round_trip_s",
    )

    def __init__(self, has_outflow: bool, has_inflow: bool, is_listed: bool) -> None:
        """`has_outflow`: this node sends records over the link. `has_inflow`: the peer sends records over it.
        `is_listed`: the operator listed the peer; otherwise it is a stranger.
        """
        self.has_outflow = has_outflow
        self.has_inflow = has_inflow
        self.is_listed = is_listed
        self.is_eager = True
        self.pruned_at: float | None = None
        """When this node last sent `prune` over the link."""
        self.round_trip_s: float | None = None
        self.doubts = 0
        self.muted_until: float | None = None
        self._unannounced: dict[int, list[str]] | None = None
        """Ids to announce soon, by hops. None while there is no id, because a node may have very many links."""

    def is_muted(self, now: float) -> bool:
        return self.muted_until is not None and now < self.muted_until

    def doubt(self, now: float) -> None:
        """Count a broken promise; mute the link if it was one too many."""
        self.doubts += 1
        if self.doubts == DOUBTS_MAX:
            self.doubts = DOUBTS_MAX // 2  # when it is heard again, it has less credit than a new link
            self.muted_until = now + MUTE_S

    def gather(self, ids: tuple[str, ...], hops: int) -> list[tuple[str, ...]]:
        """Keep these ids until `take`. Returns the ids of each frame that is full already."""
        if self._unannounced is None:
            self._unannounced = {}
        gathered = self._unannounced.setdefault(hops, [])
        gathered += ids
        if len(gathered) < IDS_MAX:
            return []
        full = frames(tuple(gathered[: len(gathered) // IDS_MAX * IDS_MAX]))
        del gathered[: len(full) * IDS_MAX]
        return full

    def take(self) -> list[tuple[int, tuple[str, ...]]]:
        """Remove the gathered ids, and return hops and ids of each frame."""
        if self._unannounced is None:
            return []
        gathered, self._unannounced = self._unannounced, None
        return [(hops, frame) for hops, ids in gathered.items() for frame in frames(tuple(ids))]


def frames(ids: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The ids in their order, at most `IDS_MAX` in each frame."""
    if 0 < len(ids) <= IDS_MAX:
        return [ids]
    return [ids[begin : begin + IDS_MAX] for begin in range(0, len(ids), IDS_MAX)]
