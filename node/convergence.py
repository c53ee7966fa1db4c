"""Convergence: how long ago this node and each peer were last seen to be in step.

In step means: neither side lacks a record that should flow to it. If records flow both ways, the two hold the same
records. If records flow one way, the receiver may hold more.

Gossip has one aim, that all nodes are in step, so this figure shows whether gossip works. A sync compares when it ends,
and a link with each list of domains and each reconciliation. Both report here. No comparison is made only for this
figure. Between two comparisons the truth is unknown. So while all is well, the lag rises from 0 to the time between two
comparisons, and falls to 0 again.
"""

import msgspec


class _Step(msgspec.Struct):
    """The times of the first comparison and of the last one that found both in step, in seconds of one clock."""

    since_s: float
    in_step_s: float | None = None


class Convergence:
    """When each peer, by name, was last in step. Times are seconds of one clock that never goes back."""

    def __init__(self) -> None:
        self._steps: dict[str, _Step] = {}

    def compared(self, peer: str, now_s: float, *, is_in_step: bool) -> None:
        """Record a comparison of all domains that this node and the peer exchange."""
        step = self._steps.setdefault(peer, _Step(now_s))
        if is_in_step:
            step.in_step_s = now_s

    def forget(self, peer: str) -> None:
        """Drop the figure of a peer that is not listed any more."""
        self._steps.pop(peer, None)

    def lags_s(self, now_s: float) -> dict[str, float]:
        """Seconds since each peer was last in step. If it never was, seconds since the first comparison."""
        return {
            peer: now_s - (step.since_s if step.in_step_s is None else step.in_step_s)
            for peer, step in self._steps.items()
        }
