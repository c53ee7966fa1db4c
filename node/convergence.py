"""Convergence: how long ago this node and each peer were last seen to hold the same records.

Gossip has one aim, equal sets, so this figure shows whether gossip works. A sync learns a peer's fingerprints when it
ends, and a link learns them with each list of domains; both report here whether they agreed. No comparison is made only
for this figure. Between two comparisons the truth is unknown. So while all is well, the lag rises from 0 to the time
between two comparisons, and falls to 0 again.
"""

import msgspec


class _Step(msgspec.Struct):
    """The times of the first comparison and of the last one that found both the same, in seconds of one clock."""

    since_s: float
    agreed_s: float | None = None


class Convergence:
    """The last agreement with each peer, by name. Times are seconds of one clock that never goes back."""

    def __init__(self) -> None:
        self._steps: dict[str, _Step] = {}

    def compared(self, peer: str, now_s: float, *, is_identical: bool) -> None:
        """Record a comparison of all domains that this node and the peer exchange."""
        step = self._steps.setdefault(peer, _Step(now_s))
        if is_identical:
            step.agreed_s = now_s

    def forget(self, peer: str) -> None:
        """Drop the figure of a peer that is not listed any more."""
        self._steps.pop(peer, None)

    def lags_s(self, now_s: float) -> dict[str, float]:
        """Seconds since the last agreement, by peer. Without any agreement yet, seconds since the first comparison."""
        return {
            peer: now_s - (step.since_s if step.agreed_s is None else step.agreed_s)
            for peer, step in self._steps.items()
        }
