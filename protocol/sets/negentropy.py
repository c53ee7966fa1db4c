"""Negentropy v1: two nodes find out which records one has and the other lacks, sending little more than the difference.

Both hold keys in the same order. A message cuts the whole space of keys into ranges and says of each: `SKIP`, nothing
to do; `FINGERPRINT`, this is the fingerprint of what I hold there; or `IDS`, these are the ids of all that I hold
there. The other side answers range by range: equal fingerprints become a skip; differing ones are split, into sixteen
ranges with fingerprints of their own, or into ids where few are left. So each message comes sixteen times nearer to
the differences, and a million keys take three rounds. The initiator learns the differences, by comparing the ids that
it is sent with its own; the responder learns nothing, and answers ids with its own ids.

Neither side remembers anything between messages. Ranges are given by bounds of keys, never by ranks, and each message
is answered from the index as it then is, so keys may be added meanwhile. One that comes into a range which is done is
not looked at again: it is new, and travels as new records do. One that comes into an open range is found like the
others.

A side with a limit on its frames stops when a message is full, and ends it with one fingerprint of all that remains,
made so that it cannot match. The other side then splits what remains, and the rest comes up in a later round.

This is the specification "Negentropy Protocol V1". Where it leaves a choice (how many ranges a split makes, when ids
are sent, where a full frame ends) this module does what the reference implementations do, to the byte.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from itertools import chain
from typing import Final, NamedTuple

from protocol.errors import Code, ProtocolError
from protocol.sets.index import FINGERPRINT_BYTES, ID_BYTES, KEY_BYTES, TIMESTAMP_BYTES, Index
from protocol.sets.varint import VARINT_MAX, decode_varint, encode_varint

VERSION: Final = 0x61
VERSIONS: Final = range(0x60, 0x70)
"""The first byte of any version of Negentropy. To another version the responder answers with its own version byte."""

FRAME_BYTES_MIN: Final = 4_096
"""The smallest limit on a frame. The first message is never cut: it needs less than 1,000 bytes."""

ROUNDS_MAX: Final = 10_000
"""Answers from a responder, after which we no longer believe that it wants to end. With no limit on frames no set takes
ten; in frames of 4,096 bytes, the smallest, 10,000 differences scattered among 20,000 records take 226."""

TOLD_MAX: Final = 100_000
"""Ids that the initiator remembers to have told, so that it tells each once; past that it may tell one twice. A hostile
responder can fill this, with 12 MB."""

_RANGES_A_SPLIT = 16
_IDS_BELOW = 2 * _RANGES_A_SPLIT
"""Fewer keys than this are listed: sixteen fingerprints would take a third of the bytes at best, and settle nothing."""

_FRAME_BYTES_RESERVED = 200
"""Kept free for the last id that may still go over, the bounds around the ids, and the fingerprint of what remains."""

_IDS_AT_ONCE = 4_096
"""Ids of ours taken from the index at a time, where we hold far more in a range than the other side has named."""

_NO_LIMIT = 2**63
_INFINITY = VARINT_MAX.to_bytes(TIMESTAMP_BYTES, "big")
"""The bound above all keys: no record has the highest timestamp."""

_NOTHING = Index().fingerprint()


class _Mode(IntEnum):
    """What the sender says of a range."""

    SKIP = 0
    FINGERPRINT = 1
    IDS = 2


class _Span(NamedTuple):
    """A range: [begin, end) in ranks of our index, and its upper bound, which is the first 8 to 40 bytes of a key."""

    begin: int
    end: int
    bound: bytes


class _Gap(NamedTuple):
    """A range of which the other side holds these ids and no others, by our first and our last key in it: ranks move
    as keys are added, and what is added behind the last key is no difference but new.
    """

    first: bytes
    last: bytes
    theirs: frozenset[bytes]


class Difference(NamedTuple):
    """What the initiator learned from one message: ids that we alone have, and ids that the other side alone has.

    The reply is to be sent; None when all is known. `have` may be the whole index, where the other side says that it
    holds nothing: it is looked up as it is read.
    """

    reply: bytes | None
    have: Iterator[bytes]
    need: list[bytes]


class Initiator:
    """The side that asks, and learns the differences."""

    def __init__(self, index: Index, frame_bytes_max: int = 0, rounds_max: int = ROUNDS_MAX) -> None:
        """Messages get no longer than `frame_bytes_max`, FRAME_BYTES_MIN or more; 0 means no limit."""
        self._index = index
        self._frame_bytes_max = frame_bytes_max
        self._rounds_left = rounds_max
        self._told: set[bytes] = set()

    def initiate(self) -> bytes:
        """The first message."""
        writer = _Writer(self._index, self._frame_bytes_max)
        writer.split(_Span(0, len(self._index), _INFINITY))
        return writer.message

    def answer(self, message: bytes) -> Difference:
        """Take in what the responder sent.

        Raises:
            ProtocolError: `malformed`, also where the responder speaks another version or does not come to an end.
        """
        if _version_of(message) != VERSION:
            raise ProtocolError(Code.MALFORMED, f"Negentropy version byte {message[0]:#x}: we asked in {VERSION:#x}")
        if self._rounds_left == 0:
            raise ProtocolError(Code.MALFORMED, "the reconciliation does not come to an end")
        self._rounds_left -= 1
        gaps: list[_Gap] = []
        need: list[bytes] = []

        def compare(span: _Span, their_ids: bytes, writer: _Writer) -> None:
            theirs = dict.fromkeys(_split_ids(their_ids))  # each once, whatever a peer repeats
            if span.begin < span.end:
                gap = _Gap(self._index.key_at(span.begin), self._index.key_at(span.end - 1), frozenset(theirs))
                gaps.append(gap)
                for each in chain.from_iterable(self._ours(gap)) if theirs else ():
                    theirs.pop(each, None)
            need.extend(self._not_told(theirs))
            writer.skip(span.bound)

        reply = _answer(self._index, message, self._frame_bytes_max, compare)
        return Difference(None if len(reply) == 1 else reply, self._have(gaps), need)

    def _have(self, gaps: list[_Gap]) -> Iterator[bytes]:
        for gap in gaps:
            for ours in self._ours(gap):
                yield from self._not_told(each for each in ours if each not in gap.theirs)

    def _ours(self, gap: _Gap) -> Iterator[list[bytes]]:
        """Our ids in the range, a few at a time; keys may be added meanwhile."""
        begin, index = gap.first, self._index
        while begin <= gap.last:
            rank, end = index.rank(begin), index.rank(gap.last) + 1
            last = min(rank + _IDS_AT_ONCE, end)
            yield index.ids(rank, last)
            begin = index.key_at(last - 1) + b"\0"

    def _not_told(self, ids: Iterable[bytes]) -> list[bytes]:
        """Where a full message ends, ranges that are done can lie before what remains, and then they come up again."""
        news = [each for each in ids if each not in self._told]
        self._told.update(news[: TOLD_MAX - len(self._told)])
        return news


class Responder:
    """The side that is asked. It learns nothing, and needs no state."""

    def __init__(self, index: Index, frame_bytes_max: int = 0) -> None:
        """Messages get no longer than `frame_bytes_max`, FRAME_BYTES_MIN or more.

        0 means no limit; a message of five bytes then asks for every id that we hold.
        """
        self._index = index
        self._frame_bytes_max = frame_bytes_max

    def answer(self, message: bytes) -> bytes:
        """The answer to a message of the initiator's; to one in another version, the version byte that we speak.

        Raises:
            ProtocolError: `malformed`.
        """
        if _version_of(message) != VERSION:
            return bytes([VERSION])
        return _answer(self._index, message, self._frame_bytes_max, lambda span, _, writer: writer.list_ids(span))


def _version_of(message: bytes) -> int:
    if not message or message[0] not in VERSIONS:
        raise ProtocolError(Code.MALFORMED, "not a Negentropy message: it starts with a version byte from 0x60 to 0x6f")
    return message[0]


def _answer(
    index: Index, message: bytes, frame_bytes_max: int, on_ids: Callable[[_Span, bytes, "_Writer"], None]
) -> bytes:
    """Go through a message and write what follows from each range; the roles differ in what follows from ids."""
    writer = _Writer(index, frame_bytes_max)
    begin = 0
    for bound, mode, payload in _Reader(message).ranges():
        span = _Span(begin, index.rank(bound), bound)
        if mode is _Mode.IDS:
            on_ids(span, payload, writer)
        elif mode is _Mode.SKIP or payload == index.fingerprint(span.begin, span.end):
            writer.skip(bound)
        else:
            writer.split(span, is_unknown_to_them=payload == _NOTHING)
        if writer.is_ended:
            break
        begin = span.end
    return writer.message


class _Reader:
    """A message as its ranges. Nothing is taken from it before its length was checked."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._offset = 1  # behind the version byte
        self._timestamp = 0

    def ranges(self) -> Iterator[tuple[bytes, _Mode, bytes]]:
        """Bound, mode and payload of each range: nothing, a fingerprint, or ids end to end."""
        lower = b""
        while self._offset < len(self._message):
            bound = self._bound()
            upper = bound.ljust(KEY_BYTES, b"\0")
            if upper < lower:
                raise ProtocolError(Code.MALFORMED, f"the bound before byte {self._offset} is below the one before it")
            mode = self._mode()
            yield bound, mode, self._payload(mode)
            lower = upper

    def _bound(self) -> bytes:
        step = self._varint()
        # 0 stands for infinity; a sum beyond it, which nobody sends who means well, is infinity too.
        self._timestamp = min(self._timestamp + step - 1, VARINT_MAX) if step else VARINT_MAX
        prefix_bytes = self._varint()
        if prefix_bytes > ID_BYTES:
            raise ProtocolError(Code.MALFORMED, f"a bound has {prefix_bytes} bytes of an id: ids have {ID_BYTES}")
        return self._timestamp.to_bytes(TIMESTAMP_BYTES, "big") + self._take(prefix_bytes)

    def _mode(self) -> _Mode:
        mode = self._varint()
        if mode > max(_Mode):
            raise ProtocolError(Code.MALFORMED, f"a range has mode {mode}: there are 0 to {max(_Mode)}")
        return _Mode(mode)

    def _payload(self, mode: _Mode) -> bytes:
        if mode is _Mode.SKIP:
            return b""
        return self._take(FINGERPRINT_BYTES if mode is _Mode.FINGERPRINT else ID_BYTES * self._varint())

    def _varint(self) -> int:
        value, self._offset = decode_varint(self._message, self._offset)
        return value

    def _take(self, size: int) -> bytes:
        if size > len(self._message) - self._offset:
            raise ProtocolError(Code.MALFORMED, f"the message ends where {size} bytes are due at byte {self._offset}")
        self._offset += size
        return self._message[self._offset - size : self._offset]


class _Writer:
    """A message that grows range by range, until it is whole or full."""

    def __init__(self, index: Index, frame_bytes_max: int) -> None:
        assert frame_bytes_max == 0 or frame_bytes_max >= FRAME_BYTES_MIN
        self._index = index
        self._bytes_max = frame_bytes_max - _FRAME_BYTES_RESERVED if frame_bytes_max else _NO_LIMIT
        self._written = bytearray([VERSION])
        self._timestamp = 0
        self._skipped: bytes | None = None
        self.is_ended = False

    @property
    def message(self) -> bytes:
        return bytes(self._written)

    def skip(self, bound: bytes) -> None:
        """Say nothing up to that bound. It is written when a range follows: skips in a row are one, a last one none."""
        self._skipped = bound

    def split(self, span: _Span, *, is_unknown_to_them: bool = False) -> None:
        """Ask on about a range whose fingerprints differ, or end the message here where that does not fit any more."""
        length_before = len(self._written)
        if span.end - span.begin < _IDS_BELOW:
            self._write_ids(span)
        else:
            self._write_fingerprints(span)
        if len(self._written) > self._bytes_max:
            del self._written[length_before:]
            # What the reference implementations send: all that is behind the range. It cannot match, for the other side
            # holds keys in the range, unless it said that it holds none. Then their bytes could end with a difference
            # overlooked, so ours are the fingerprint of the range and all behind it.
            self._end(span.begin if is_unknown_to_them else span.end)

    def list_ids(self, span: _Span) -> None:
        """Name all ids of a range, or as many as fit, and end the message there."""
        room = (self._bytes_max - len(self._written)) // ID_BYTES + 1
        if room < span.end - span.begin:
            end = span.begin + room
            span = _Span(span.begin, end, self._index.key_at(end))
        self._write_ids(span)
        if len(self._written) > self._bytes_max:
            self._end(span.end)

    def _end(self, rank: int) -> None:
        """Close a full message with one fingerprint of all keys from that rank on."""
        self._write(_INFINITY, _Mode.FINGERPRINT, self._index.fingerprint(rank))
        self.is_ended = True

    def _write_ids(self, span: _Span) -> None:
        ids = self._index.ids(span.begin, span.end)
        self._write(span.bound, _Mode.IDS, encode_varint(len(ids)), *ids)

    def _write_fingerprints(self, span: _Span) -> None:
        """Of sixteen ranges with as many keys each as can be; the first ones have the keys that are left over."""
        keys_each, left_over = divmod(span.end - span.begin, _RANGES_A_SPLIT)
        begin = span.begin
        for number in range(_RANGES_A_SPLIT):
            end = begin + keys_each + (number < left_over)
            bound = span.bound if end == span.end else self._bound_at(end)
            self._write(bound, _Mode.FINGERPRINT, self._index.fingerprint(begin, end))
            begin = end

    def _bound_at(self, rank: int) -> bytes:
        """The shortest start of the key of that rank which the key below it has not: at least the timestamp."""
        below, key = self._index.keys(rank - 1, rank + 1)
        shared = next(length for length in range(KEY_BYTES) if below[length] != key[length])
        return key[: max(shared + 1, TIMESTAMP_BYTES)]

    def _write(self, bound: bytes, mode: _Mode, *payload: bytes) -> None:
        if self._skipped is not None:
            skipped, self._skipped = self._skipped, None
            self._write(skipped, _Mode.SKIP)
        timestamp = int.from_bytes(bound[:TIMESTAMP_BYTES], "big")
        step = 0 if timestamp == VARINT_MAX else 1 + timestamp - self._timestamp
        self._timestamp = timestamp
        prefix = bound[TIMESTAMP_BYTES:]
        self._written += b"".join(
            [encode_varint(step), encode_varint(len(prefix)), prefix, encode_varint(mode), *payload]
        )


def _split_ids(packed: bytes) -> list[bytes]:
    return [packed[offset : offset + ID_BYTES] for offset in range(0, len(packed), ID_BYTES)]
