"""Patience: how long to wait for a record that was announced, before asking for it.

Who announces a record has it already, and the record is mostly on its way over some other link. To ask at once would
have it sent twice and bend the tree for nothing; to wait for long leaves a hole open where a link broke. What decides
between the two is how far the record is behind its first announcement, so that is measured, the way TCP measures round
trips for its retransmissions (RFC 6298): a mean and a deviation, both smoothed. Until there is anything to measure,
round trips on our links say what kind of network this is.
"""

from typing import Final

LAG_GAIN: Final = 1 / 8
DEVIATION_GAIN: Final = 1 / 4
DEVIATIONS: Final = 4
"""The smoothing and the margin of RFC 6298, section 2."""

ROUND_TRIPS: Final = 6
"""A guess: the way over the tree has some links more than the way of the announcement. In simulation 30 per cent of
2,000 nodes failed at once; with 4 round trips the third record after that had up to 10 per cent of copies too many,
with 6 below 2, with 8 no fewer, and what was lost on the way came half a second later."""

FIRST_S: Final = 1.0
"""While no round trip is known, as in RFC 6298."""

WANT_S_MIN: Final = 0.05
"""A node that verifies and commits is late by this much on the fastest of networks."""

WANT_S_MAX: Final = 10.0

ANSWER_ROUND_TRIPS: Final = 3
ANSWER_S_MIN: Final = 0.4
"""An answer is read from a disk and waits its turn behind other records: guesses, both."""


class Timing:
    """What one node measured. All times in seconds."""

    __slots__ = ("_deviation_s", "_lag_s", "_round_trip_s")

    def __init__(self) -> None:
        self._round_trip_s: float | None = None
        self._lag_s: float | None = None
        self._deviation_s = 0.0

    def on_round_trip(self, round_trip_s: float) -> None:
        """A round trip was measured, on any link."""
        known = self._round_trip_s
        self._round_trip_s = round_trip_s if known is None else known + LAG_GAIN * (round_trip_s - known)

    def on_lag(self, lag_s: float) -> None:
        """A record came this long after it was first announced; also where it had to be asked for, which shows that
        the wait was not too long.
        """
        if self._lag_s is None:
            self._lag_s, self._deviation_s = lag_s, lag_s / 2
        else:
            self._deviation_s += DEVIATION_GAIN * (abs(lag_s - self._lag_s) - self._deviation_s)
            self._lag_s += LAG_GAIN * (lag_s - self._lag_s)

    @property
    def want_s(self) -> float:
        """How long to wait after a first announcement, before the record is asked for."""
        known = self._round_trip_s
        guessed = FIRST_S if known is None else ROUND_TRIPS * known
        measured = 0.0 if self._lag_s is None else self._lag_s + DEVIATIONS * self._deviation_s
        return min(max(guessed, measured, WANT_S_MIN), WANT_S_MAX)

    def answer_s(self, round_trip_s: float | None) -> float:
        """How long to wait for what was asked for, on a link with this round trip (None: not known)."""
        known = self._round_trip_s if round_trip_s is None else round_trip_s
        return FIRST_S if known is None else min(max(ANSWER_ROUND_TRIPS * known, ANSWER_S_MIN), WANT_S_MAX)
