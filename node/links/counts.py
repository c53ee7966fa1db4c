"""Counts: what went over links, as plain numbers that each link holds itself while it lasts."""

import msgspec

from node.links.taking import Haul


class LinkCounts(msgspec.Struct):
    """Frames, bytes of text, records sent, those that came by what became of them, and the last round trip, in s."""

    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    sent: int = 0
    accepted: int = 0
    known: int = 0
    refused: int = 0
    repaired: int = 0
    round_trip_s: float | None = None

    def count(self, haul: Haul) -> None:
        self.accepted += haul.accepted
        self.known += len(haul.known)
        self.refused += len(haul.results) - haul.accepted - len(haul.known)

    def add(self, other: "LinkCounts") -> None:
        """Add what another counted, round trips aside."""
        for name in COUNTERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


COUNTERS = tuple(field for field in LinkCounts.__struct_fields__ if field != "round_trip_s")
