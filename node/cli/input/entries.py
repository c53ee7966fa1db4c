"""Lines of a file that should each hold an entry, `{signature, record}`, as `dnarc export` and listings write them.

Files pass through editors, mail and other programs, which add blank lines and byte order marks, and tear lines apart.
The reader therefore numbers every line, and a bad line never hides the good lines after it.
"""

from collections.abc import Iterator
from typing import IO, Final

import msgspec

from protocol.errors import Code, ProtocolError

LINE_BYTES_MAX: Final = 2**20
"""A record has at most 64 KiB in canonical bytes. Other spellings of it are longer, but hardly this long."""

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
"""The mark in UTF-8. Some editors put it at the start of a file, and it stays there when files are joined."""


class Entry(msgspec.Struct, frozen=True):
    """A record as a listing spells it, with the bytes of the record as they are in the file."""

    signature: str
    record: msgspec.Raw


class EntryLine(msgspec.Struct, frozen=True):
    """A line without its byte order mark and its line feed. `number` counts from 1, `end` is the offset of the next."""

    number: int
    data: bytes
    end: int
    has_mark: bool = False

    @property
    def is_blank(self) -> bool:
        return not self.data.strip()


def read_lines(source: IO[bytes], number: int = 1, offset: int = 0) -> Iterator[EntryLine]:
    """The lines from the current position on, which is that of line `number`.

    Of a line that is too long, only the beginning is kept, so that memory stays flat.
    """
    while data := source.readline(LINE_BYTES_MAX + 1):
        piece = data
        offset += len(piece)
        while not piece.endswith(b"\n") and (piece := source.readline(LINE_BYTES_MAX)):
            offset += len(piece)
        has_mark = data.startswith(BYTE_ORDER_MARK)
        yield EntryLine(number, data.removeprefix(BYTE_ORDER_MARK).removesuffix(b"\n"), offset, has_mark)
        number += 1


def entry_of(line: EntryLine) -> Entry:
    """The entry in a line.

    Raises:
        ProtocolError: the line holds no entry, or its signature has another form than signatures have.
    """
    from protocol.records.record import check_signature_spelling

    if len(line.data) > LINE_BYTES_MAX:
        raise ProtocolError(Code.TOO_LARGE, f"the line has more than {LINE_BYTES_MAX} bytes")
    try:
        entry = msgspec.json.decode(line.data, type=Entry)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(Code.MALFORMED, f"not a line of {{signature, record}}: {error}") from error
    check_signature_spelling(entry.signature)
    return entry
