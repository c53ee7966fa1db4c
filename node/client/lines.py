"""Lines out of pieces: a listing and a stream of events are lines, and a connection gives pieces of any length."""

from typing import Final

from node.client.answers import LINE_BYTES_MAX

PIECE_BYTES: Final = 65_536
"""Bytes that are read from a connection at once."""


class LineSplitter:
    """Splits the pieces that it gets into lines. `rest` is the beginning of the next line."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that this piece completes, without line feeds. Raises: ValueError: a line is too long."""
        *lines, rest = (self.rest + piece).split(b"\n")
        if len(lines[0] if lines else rest) > LINE_BYTES_MAX:  # every other line is within this piece, which is shorter
            raise ValueError(f"a line has more than {LINE_BYTES_MAX} bytes")
        self.rest = rest
        return lines
