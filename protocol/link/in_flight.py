"""The window: what was sent over a link and is not acknowledged. It keeps a slow peer from filling our memory.

Acknowledgements are cumulative, as in TCP (RFC 9293, section 3.4), and come after the peer's commit. The window is
large enough for a peer that verifies one frame while it commits another and reads a third.
"""

from collections import deque
from typing import Final

import msgspec

from protocol.errors import Code, ProtocolError
from protocol.link.terms import LinkLimits

CATCH_UP_SHARE: Final = 0.75
"""How much of the window a catch-up may fill, so that live records find room beside it."""


class SentLine(msgspec.Struct, frozen=True, gc=False):
    """What is kept of one record that was sent: not its body. `timestamp` in seconds."""

    id: str
    domain: str
    timestamp: int


class Sent(msgspec.Struct, frozen=True):
    """One frame of records. `pass_domain`: the frame is part of that domain's pass; None: of no pass."""

    seq: int
    lines: tuple[SentLine, ...]
    size_bytes: int
    pass_domain: str | None


class InFlight:
    """The frames that wait for an acknowledgement, in their order."""

    def __init__(self, limits: LinkLimits) -> None:
        """Of `limits`, only `in_flight_*` count here."""
        self._limits = limits
        self._frames: deque[Sent] = deque()
        self._size_bytes = 0
        self.records = 0
        self.seq = 0
        """The number of the last frame that was sent."""
        self.acked = 0
        """The number of the last frame that was acknowledged."""

    @property
    def frames(self) -> int:
        return len(self._frames)

    def has_room(self, share: float = 1.0) -> bool:
        """Whether one more frame may go. The last frame may exceed the limits of records and bytes."""
        limits = self._limits
        return (
            len(self._frames) < share * limits.in_flight_frames_max
            and self.records < share * limits.in_flight_records_max
            and self._size_bytes < share * limits.in_flight_bytes_max
        )

    def add(self, lines: tuple[SentLine, ...], size_bytes: int, pass_domain: str | None) -> None:
        """Note one more frame, which gets the next number."""
        self.seq += 1
        self._frames.append(Sent(self.seq, lines, size_bytes, pass_domain))
        self._size_bytes += size_bytes
        self.records += len(lines)

    def take_acked(self, seq: int) -> list[Sent]:
        """Take out the frames that this acknowledges.

        Raises:
            ProtocolError: `malformed` if the frame was never sent, or acknowledged before.
        """
        if not self.acked < seq <= self.seq:
            raise ProtocolError(
                Code.MALFORMED, f"an ack of frame {seq}: frames {self.acked + 1} to {self.seq} wait for one"
            )
        frames = [self._frames.popleft() for _ in range(seq - self.acked)]
        self.acked = seq
        self.records -= sum(len(frame.lines) for frame in frames)
        self._size_bytes -= sum(frame.size_bytes for frame in frames)
        return frames
