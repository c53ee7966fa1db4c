"""Lines out of a stream of bytes that somebody else writes: none is longer than a limit, whatever comes."""

from collections.abc import Iterator


class LineTooLongError(Exception):
    """A line has more bytes than the limit."""


class Lines:
    """Joins pieces of a stream, and splits them at line feeds."""

    def __init__(self, bytes_max: int) -> None:
        """`bytes_max`: bytes of a line without its line feed."""
        self._bytes_max = bytes_max
        self._begun = b""

    def put(self, data: bytes) -> Iterator[bytes]:
        """The lines that these bytes complete, without their line feeds.

        Raises:
            LineTooLongError: a line is too long, complete or not. The lines before it were given.
        """
        *whole, self._begun = (self._begun + data).split(b"\n")
        for line in whole:
            self._check(line)
            yield line
        self._check(self._begun)

    def _check(self, line: bytes) -> None:
        if len(line) > self._bytes_max:
            raise LineTooLongError
