"""Counts: what went over links, as plain numbers that each link holds itself while it lasts."""

from collections.abc import Iterable

import msgspec

from protocol.records.outcome import Outcome, Status


class LinkCounts(msgspec.Struct):
    """Frames, bytes of text, records that came by what became of them, and the last round trip, in seconds."""

    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    accepted: int = 0
    known: int = 0
    refused: int = 0
    repaired: int = 0
    round_trip_s: float | None = None

    def count(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            match outcome.status:
                case Status.ACCEPTED:
                    self.accepted += 1
                case Status.KNOWN:
                    self.known += 1
                case Status.REFUSED:
                    self.refused += 1
