"""Convergence: how long ago this node and each peer were last seen to hold the same.

Gossip has one aim, equal sets, so this is the figure that says whether it works. Whoever learns a peer's fingerprints
(a sync at its ends, a link at each list of domains) tells here whether they agreed; nothing is compared for its own
sake. Between two comparisons nobody knows, so while all is well the lag moves between nothing and their distance.
"""

import msgspec


class _Step(msgspec.Struct):
    """When the first comparison was, and the last one that found both the same; seconds of one clock."""

    since_s: float
    agreed_s: float | None = None


class Convergence:
    """The last agreement with each peer, by its name. Times are of any one clock that never goes back, in seconds."""

    def __init__(self) -> None:
        self._steps: dict[str, _Step] = {}

    def compared(self, peer: str, now_s: float, *, is_identical: bool) -> None:
        """Take note that all domains which the two exchange were compared."""
        step = self._steps.setdefault(peer, _Step(now_s))
        if is_identical:
            step.agreed_s = now_s

    def forget(self, peer: str) -> None:
        self._steps.pop(peer, None)

    def lags_s(self, now_s: float) -> dict[str, float]:
        """Seconds since the last agreement by peer; where there was none yet, since the first comparison."""
        return {
            peer: now_s - (step.since_s if step.agreed_s is None else step.agreed_s)
            for peer, step in self._steps.items()
        }
