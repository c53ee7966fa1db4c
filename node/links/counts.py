"""Counts: what went over links, as plain numbers that each link holds itself while it lasts."""

import msgspec

from node.links.taking import Haul


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

    def count(self, haul: Haul) -> None:
        self.accepted += haul.accepted
        self.known += len(haul.known)
        self.refused += len(haul.results) - haul.accepted - len(haul.known)
