"""Messages of Negentropy v1: how ranges of keys become bytes, and bytes become ranges.

A message is the version byte and then ranges. Together the ranges cover all keys, in order. A range is:

- its upper *bound*, above all keys of the range; the range begins at the bound of the range before it,
- a *mode*: `SKIP`, `FINGERPRINT` or `IDS`,
- a *payload*: nothing for `SKIP`, 16 bytes for `FINGERPRINT`, a count and that many ids for `IDS`.

A bound is a timestamp and the first bytes of an id, as many as separate the key below it from the key above it. The
timestamp is a difference to the timestamp of the bound before it, plus 1, because 0 stands for infinity. All integers
are varints. A `SKIP` at the end of a message is left out.

`MessageReader` takes a message from a peer apart. `MessageWriter` builds one within a limit of bytes, a *frame*.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from protocol.errors import Code, ProtocolError
from protocol.sets.index import FINGERPRINT_BYTES, ID_BYTES, KEY_BYTES, TIMESTAMP_BYTES, Index
from protocol.sets.varint import VARINT_MAX, decode_varint, encode_varint

VERSION: Final = 0x61
VERSIONS: Final = range(0x60, 0x70)
"""The first byte of a message in any version of Negentropy."""

FRAME_BYTES_MIN: Final = 4_096
"""The smallest limit on a frame. The first message of an initiator is never cut: it needs less than 1,000 bytes."""

INFINITY: Final = VARINT_MAX.to_bytes(TIMESTAMP_BYTES, "big")
"""The bound above all keys, because no record has the highest timestamp."""

_RANGES_PER_SPLIT = 16
_IDS_BELOW = 2 * _RANGES_PER_SPLIT
"""A range with fewer keys than this is sent as ids. Sixteen fingerprints of so few keys would save at most two thirds
of the bytes, and the ids would have to follow in another round."""

_FRAME_BYTES_RESERVED = 200
"""Bytes kept free in a frame for one more id, the bounds around the ids, and the fingerprint of all that remains."""

_NO_LIMIT = 2**63


class Mode(IntEnum):
    """What the sender says about a range."""

    SKIP = 0
    """Nothing remains to be done here."""

    FINGERPRINT = 1
    """This is the fingerprint of all that I hold here."""

    IDS = 2
    """These are the ids of all that I hold here."""


class Span(NamedTuple):
    """A range as part of our index: its keys have the ranks from `begin` up to but without `end`.

    `bound` is the upper bound of the range: the first 8 to 40 bytes of a key.
    """

    begin: int
    end: int
    bound: bytes


def version_of(message: bytes) -> int:
    """The version byte of a message. Raises: ProtocolError: `malformed` if the message has none."""
    if not message or message[0] not in VERSIONS:
        raise ProtocolError(Code.MALFORMED, "not a Negentropy message: it starts with a version byte from 0x60 to 0x6f")
    return message[0]


def split_ids(payload: bytes) -> list[bytes]:
    """The ids in the payload of an `IDS` range."""
    return [payload[offset : offset + ID_BYTES] for offset in range(0, len(payload), ID_BYTES)]


class MessageReader:
    """Reads the ranges of one message. It checks every length before it takes that many bytes."""

    def __init__(self, message: bytes, ranges_max: int | None = None) -> None:
        """`ranges_max`: how many ranges the message may have; None: no limit."""
        self._message = message
        self._ranges_max = ranges_max
        self._offset = 1  # after the version byte
        self._timestamp = 0

    def ranges(self) -> Iterator[tuple[bytes, Mode, bytes]]:
        """The bound, mode and payload of each range. The payload of `IDS` is the ids, one after the other.

        Raises:
            ProtocolError: `malformed`.
        """
        lower = b""
        count = 0
        while self._offset < len(self._message):
            if count == self._ranges_max:
                raise ProtocolError(Code.MALFORMED, f"a message with more than {count} ranges")
            count += 1
            bound = self._bound()
            upper = bound.ljust(KEY_BYTES, b"\0")
            if upper < lower:
                raise ProtocolError(Code.MALFORMED, f"the bound before byte {self._offset} is below the one before it")
            mode = self._mode()
            yield bound, mode, self._payload(mode)
            lower = upper

    def _bound(self) -> bytes:
        step = self._varint()
        # 0 means infinity. A sum beyond infinity, which only a hostile peer sends, is cut to infinity.
        self._timestamp = min(self._timestamp + step - 1, VARINT_MAX) if step else VARINT_MAX
        prefix_bytes = self._varint()
        if prefix_bytes > ID_BYTES:
            raise ProtocolError(Code.MALFORMED, f"a bound has {prefix_bytes} bytes of an id: ids have {ID_BYTES}")
        return self._timestamp.to_bytes(TIMESTAMP_BYTES, "big") + self._take(prefix_bytes)

    def _mode(self) -> Mode:
        mode = self._varint()
        if mode > max(Mode):
            raise ProtocolError(Code.MALFORMED, f"a range has mode {mode}: there are 0 to {max(Mode)}")
        return Mode(mode)

    def _payload(self, mode: Mode) -> bytes:
        if mode is Mode.SKIP:
            return b""
        return self._take(FINGERPRINT_BYTES if mode is Mode.FINGERPRINT else ID_BYTES * self._varint())

    def _varint(self) -> int:
        value, self._offset = decode_varint(self._message, self._offset)
        return value

    def _take(self, size: int) -> bytes:
        if size > len(self._message) - self._offset:
            raise ProtocolError(Code.MALFORMED, f"the message ends where {size} bytes are due at byte {self._offset}")
        self._offset += size
        return self._message[self._offset - size : self._offset]


class MessageWriter:
    """Builds one message, range by range in order, until all keys are covered or the frame is full.

    A full frame ends with one fingerprint of all keys that remain, made so that it cannot match. The other side then
    splits that range, and the remaining differences come up in a later round.
    """

    def __init__(self, index: Index, frame_bytes_max: int) -> None:
        """The message gets at most `frame_bytes_max` bytes, `FRAME_BYTES_MIN` or more; 0: no limit."""
        assert frame_bytes_max == 0 or frame_bytes_max >= FRAME_BYTES_MIN
        self._index = index
        self._bytes_max = frame_bytes_max - _FRAME_BYTES_RESERVED if frame_bytes_max else _NO_LIMIT
        self._written = bytearray([VERSION])
        self._timestamp = 0
        self._skipped: bytes | None = None
        """The bound of skipped ranges that are not written yet; None: there are none."""
        self.is_ended = False
        """Whether the frame was full and the message ends with the fingerprint of all that remains."""

    @property
    def message(self) -> bytes:
        return bytes(self._written)

    def skip(self, bound: bytes) -> None:
        """Skip all keys below that bound.

        The skip is written only when another range follows. So skips in a row become one, and a last one is left out.
        """
        self._skipped = bound

    def split(self, span: Span, *, is_empty_there: bool = False) -> None:
        """Ask further about a range with different fingerprints: send sixteen smaller ones, or ids if few keys remain.

        `is_empty_there`: the other side said that it holds no key in the range.
        """
        length_before = len(self._written)
        if span.end - span.begin < _IDS_BELOW:
            self._write_ids(span)
        else:
            self._write_fingerprints(span)
        if len(self._written) > self._bytes_max:
            del self._written[length_before:]
            # The reference implementations end with the fingerprint of our keys after this range. The other side
            # compares it with its own keys in the range and after it, and it holds keys in the range, so the two
            # differ. If it holds none there, the two could be equal, and this difference would be lost. Then the
            # fingerprint also covers our keys in the range.
            self._end(span.begin if is_empty_there else span.end)

    def list_ids(self, span: Span) -> None:
        """Send all ids of a range. If they do not fit, send as many as fit, and end the message there."""
        room = (self._bytes_max - len(self._written)) // ID_BYTES + 1
        if room < span.end - span.begin:
            end = span.begin + room
            span = Span(span.begin, end, self._index.key_at(end))
        self._write_ids(span)
        if len(self._written) > self._bytes_max:
            self._end(span.end)

    def _end(self, rank: int) -> None:
        """End a full message with one fingerprint of all keys from that rank on."""
        self._write(INFINITY, Mode.FINGERPRINT, self._index.fingerprint(rank))
        self.is_ended = True

    def _write_ids(self, span: Span) -> None:
        ids = self._index.ids(span.begin, span.end)
        self._write(span.bound, Mode.IDS, encode_varint(len(ids)), *ids)

    def _write_fingerprints(self, span: Span) -> None:
        """Send the fingerprints of sixteen ranges with equally many keys. The first ranges have one more each, if any
        keys are left over.
        """
        keys_each, left_over = divmod(span.end - span.begin, _RANGES_PER_SPLIT)
        begin = span.begin
        for number in range(_RANGES_PER_SPLIT):
            end = begin + keys_each + (number < left_over)
            bound = span.bound if end == span.end else self._bound_at(end)
            self._write(bound, Mode.FINGERPRINT, self._index.fingerprint(begin, end))
            begin = end

    def _bound_at(self, rank: int) -> bytes:
        """The shortest prefix of the key of that rank that the key below it does not share; at least the timestamp."""
        below, key = self._index.keys(rank - 1, rank + 1)
        shared = next(length for length in range(KEY_BYTES) if below[length] != key[length])
        return key[: max(shared + 1, TIMESTAMP_BYTES)]

    def _write(self, bound: bytes, mode: Mode, *payload: bytes) -> None:
        if self._skipped is not None:
            skipped, self._skipped = self._skipped, None
            self._write(skipped, Mode.SKIP)
        timestamp = int.from_bytes(bound[:TIMESTAMP_BYTES], "big")
        step = 0 if timestamp == VARINT_MAX else 1 + timestamp - self._timestamp
        self._timestamp = timestamp
        prefix = bound[TIMESTAMP_BYTES:]
        self._written += b"".join(
            [encode_varint(step), encode_varint(len(prefix)), prefix, encode_varint(mode), *payload]
        )
