"""Timing: how long a node waits for an announced record before it asks for that record.

A peer that announces a record has the record already, and mostly the record is on its way over another link. If the
node asks at once, the record is sent twice and the tree changes for nothing. If the node waits long, the record stays
missing where a link broke. The right wait depends on how much later a record arrives than its first announcement. The
node measures this lag as TCP measures round trips for its retransmission timer (RFC 6298): a smoothed mean and a
smoothed deviation. Before the first measurement, the wait depends on the round trips of the node's links.
"""

from typing import Final

LAG_GAIN: Final = 1 / 8
DEVIATION_GAIN: Final = 1 / 4
DEVIATIONS: Final = 4
"""The smoothing and the margin of RFC 6298, section 2."""

ROUND_TRIPS: Final = 6
"""The wait in round trips, while no lag is known. A guess: the path over the tree has some links more than the path of
the announcement. Measured in a simulation where 30 per cent of 2,000 nodes failed at once, on the third record after
the failure: with 4 round trips up to 10 per cent of the copies were redundant, with 6 under 2 per cent, with 8 no
fewer, and a record lost on the way arrived half a second later."""

FIRST_S: Final = 1.0
"""The wait while no round trip is known, as in RFC 6298."""

WANT_S_MIN: Final = 0.05
"""On the fastest network a node that verifies and commits records is late by this much."""

WANT_S_MAX: Final = 10.0

ANSWER_ROUND_TRIPS: Final = 3
ANSWER_S_MIN: Final = 0.4
"""The peer reads its answer from a disk and queues it behind other records. Both numbers are guesses."""


class Timing:
    """The lag and the round trips that one node measured. All times are in seconds."""

    __slots__ = ("_deviation_s", "_lag_s", "_round_trip_s")

    def __init__(self) -> None:
        self._round_trip_s: float | None = None
        self._lag_s: float | None = None
        self._deviation_s = 0.0

    def on_round_trip(self, round_trip_s: float) -> None:
        """A round trip was measured on one of the node's links."""
        known = self._round_trip_s
        self._round_trip_s = round_trip_s if known is None else known + LAG_GAIN * (round_trip_s - known)

    def on_lag(self, lag_s: float) -> None:
        """A record arrived this long after its first announcement.

        A record that the node had to ask for counts too, because it shows that the wait was not too long.
        """
        if self._lag_s is None:
            self._lag_s, self._deviation_s = lag_s, lag_s / 2
        else:
            self._deviation_s += DEVIATION_GAIN * (abs(lag_s - self._lag_s) - self._deviation_s)
            self._lag_s += LAG_GAIN * (lag_s - self._lag_s)

    @property
    def want_s(self) -> float:
        """How long the node waits after the first announcement of a record before it asks for the record."""
        known = self._round_trip_s
        guessed = FIRST_S if known is None else ROUND_TRIPS * known
        measured = 0.0 if self._lag_s is None else self._lag_s + DEVIATIONS * self._deviation_s
        return min(max(guessed, measured, WANT_S_MIN), WANT_S_MAX)

    def answer_s(self, round_trip_s: float | None) -> float:
        """How long the node waits for the answer to a `want`, on a link with this round trip (None: unknown)."""
        known = self._round_trip_s if round_trip_s is None else round_trip_s
        return FIRST_S if known is None else min(max(ANSWER_ROUND_TRIPS * known, ANSWER_S_MIN), WANT_S_MAX)
