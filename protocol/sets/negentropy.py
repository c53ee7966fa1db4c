"""Negentropy v1: two nodes find out which records only one of them holds. They send little more than the difference.

Both sides order their keys in the same way. The *initiator* sends fingerprints of sixteen ranges that together cover
all keys. The *responder* compares each with the fingerprint of its own keys in that range. If the two are equal, the
responder skips the range. If they differ, it splits the range and sends the fingerprints of sixteen smaller ranges, or
ids if few keys are left. The initiator answers in the same way. Each message thus narrows the differences down by a
factor of sixteen, and a million keys take three rounds. The initiator learns the differences: it compares the ids that
it receives with its own. The responder learns nothing, and answers a list of ids with its own ids.

Neither side stores anything about a range between two messages. A range is given by bounds, never by ranks, and each
message is answered from the index as it is at that moment, so keys may be added during a reconciliation. A key added in
a range that is done is not looked at again: it is a new record and travels like other new records. A key added in an
open range is found like the others.

This is the specification "Negentropy Protocol V1". Where it leaves a choice (the number of ranges in a split, when ids
are sent, where a full frame ends), this module sends the same bytes as the reference implementations.
`protocol.sets.negentropy_message` holds the format of messages.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final, NamedTuple

from protocol.errors import Code, ProtocolError
from protocol.sets.index import Index
from protocol.sets.negentropy_message import (
    INFINITY,
    VERSION,
    MessageReader,
    MessageWriter,
    Mode,
    Span,
    split_ids,
    version_of,
)
from protocol.steps import Steps, finish

ROUNDS_MAX: Final = 10_000
"""Answers of a responder, after which the initiator gives up. Without a limit on frames no pair of sets takes ten. In
frames of 4,096 bytes, the smallest, 10,000 differences scattered among 20,000 records take 226."""

REPORTED_MAX: Final = 100_000
"""Ids that the initiator remembers to have reported, so that it reports each once. Past this limit it may report an id
twice. A hostile responder can fill this memory, with 12 MB."""

_IDS_AT_ONCE = 4_096
"""Ids that the initiator reads from its index at a time, when it holds far more in a range than the other side."""

PIECE_COST: Final = 64
"""The cost of one piece of an answer. A range costs 1, and a split range 16 more, one for each of its fingerprints. A
fingerprint takes up to 100 us, so a piece takes 8 ms at most, and mostly less than 1 ms."""

_SPLIT_COST = 16

_EMPTY_FINGERPRINT = Index().fingerprint()


class Difference(NamedTuple):
    """What the initiator learned from one message: `have`, ids that only we hold, and `need`, ids that only they hold.

    `reply` is the next message to send; None: the reconciliation is complete. `have` may be the whole index, if the
    other side says that it holds nothing. So it is an iterator, and ids are looked up while it is read.
    """

    reply: bytes | None
    have: Iterator[bytes]
    need: list[bytes]


class Initiator:
    """The side that asks, and that learns the differences."""

    def __init__(self, index: Index, frame_bytes_max: int = 0, rounds_max: int = ROUNDS_MAX) -> None:
        """Messages get at most `frame_bytes_max` bytes, `FRAME_BYTES_MIN` or more; 0: no limit."""
        self._index = index
        self._frame_bytes_max = frame_bytes_max
        self._rounds_left = rounds_max
        self._reported: set[bytes] = set()

    def initiate(self) -> bytes:
        """The first message."""
        writer = MessageWriter(self._index, self._frame_bytes_max)
        writer.split(Span(0, len(self._index), INFINITY))
        return writer.message

    def answer(self, message: bytes) -> Difference:
        """Process a message of the responder.

        Raises:
            ProtocolError: `malformed`, also if the responder speaks another version or takes too many rounds.
        """
        return finish(self.steps(message))

    def steps(self, message: bytes, ranges_max: int | None = None) -> Steps[Difference]:
        """The same in pieces. Keys may be added between two pieces. `ranges_max`: ranges of the message, None: any."""
        if version_of(message) != VERSION:
            raise ProtocolError(Code.MALFORMED, f"Negentropy version byte {message[0]:#x}: we asked in {VERSION:#x}")
        if self._rounds_left == 0:
            raise ProtocolError(Code.MALFORMED, "the reconciliation does not come to an end")
        self._rounds_left -= 1
        listed: list[_ListedRange] = []
        need: list[bytes] = []

        def on_ids(span: Span, payload: bytes, writer: MessageWriter) -> None:
            only_theirs = self._compare(span, payload, listed)
            need.extend(self._not_reported(only_theirs))
            writer.skip(span.bound)

        reply = yield from _answer(self._index, MessageReader(message, ranges_max), self._frame_bytes_max, on_ids)
        return Difference(None if len(reply) == 1 else reply, self._have(listed), need)

    def _compare(self, span: Span, payload: bytes, listed: list["_ListedRange"]) -> Iterable[bytes]:
        """The listed ids that we do not hold. If we hold keys in the range, note it for `_have` to look at later."""
        theirs = dict.fromkeys(split_ids(payload))  # an ordered set: a peer may repeat an id
        if span.begin < span.end:
            in_range = _ListedRange(self._index.key_at(span.begin), self._index.key_at(span.end - 1), frozenset(theirs))
            listed.append(in_range)
            for record_id in chain.from_iterable(self._our_ids(in_range)) if theirs else ():
                theirs.pop(record_id, None)
        return theirs

    def _have(self, listed: list["_ListedRange"]) -> Iterator[bytes]:
        """Our ids in these ranges that the other side did not list."""
        for in_range in listed:
            for ours in self._our_ids(in_range):
                yield from self._not_reported(each for each in ours if each not in in_range.theirs)

    def _our_ids(self, in_range: "_ListedRange") -> Iterator[list[bytes]]:
        """Our ids in the range, in parts. Keys may be added between two parts."""
        begin, index = in_range.our_first, self._index
        while begin <= in_range.our_last:
            rank, end = index.rank(begin), index.rank(in_range.our_last) + 1
            part_end = min(rank + _IDS_AT_ONCE, end)
            yield index.ids(rank, part_end)
            begin = index.key_at(part_end - 1) + b"\0"

    def _not_reported(self, ids: Iterable[bytes]) -> list[bytes]:
        """Those ids that were not reported before.

        A full message ends with a fingerprint of all that remains, which may cover ranges that are done already. Their
        ids then come up again.
        """
        new = [each for each in ids if each not in self._reported]
        self._reported.update(new[: REPORTED_MAX - len(self._reported)])
        return new


class _ListedRange(NamedTuple):
    """A range of which the other side listed all its ids, and in which we hold keys too.

    It is given by our first and last key, because ranks move when keys are added. A key added after `our_last` is new,
    and no difference.
    """

    our_first: bytes
    our_last: bytes
    theirs: frozenset[bytes]


class Responder:
    """The side that is asked. It learns nothing and needs no state."""

    def __init__(self, index: Index, frame_bytes_max: int = 0) -> None:
        """Messages get at most `frame_bytes_max` bytes, `FRAME_BYTES_MIN` or more.

        0: no limit. A message of five bytes can then ask for every id that we hold.
        """
        self._index = index
        self._frame_bytes_max = frame_bytes_max

    def answer(self, message: bytes) -> bytes:
        """The answer to a message of the initiator. To another version it is the byte of the version that we speak.

        Raises:
            ProtocolError: `malformed`.
        """
        return finish(self.steps(message))

    def steps(self, message: bytes, ranges_max: int | None = None) -> Steps[bytes]:
        """The same in pieces. Keys may be added between two pieces. `ranges_max`: ranges of the message, None: any."""
        if version_of(message) != VERSION:
            return bytes([VERSION])
        reader = MessageReader(message, ranges_max)
        return (
            yield from _answer(
                self._index, reader, self._frame_bytes_max, lambda span, _, writer: writer.list_ids(span)
            )
        )


def _answer(
    index: Index, reader: MessageReader, frame_bytes_max: int, on_ids: Callable[[Span, bytes, MessageWriter], None]
) -> Steps[bytes]:
    """Answer a message range by range. The two roles differ only in what they do with listed ids (`on_ids`)."""
    writer = MessageWriter(index, frame_bytes_max)
    begin = cost = 0
    for bound, mode, payload in reader.ranges():
        span = Span(begin, index.rank(bound), bound)
        if mode is Mode.IDS:
            on_ids(span, payload, writer)
        elif mode is Mode.SKIP or payload == index.fingerprint(span.begin, span.end):
            writer.skip(bound)
        else:
            writer.split(span, is_empty_there=payload == _EMPTY_FINGERPRINT)
            cost += _SPLIT_COST
        if writer.is_ended:
            break
        begin = span.end
        cost += 1
        if cost >= PIECE_COST:
            yield
            begin, cost = index.rank(bound), 0  # ranks move when keys are added
    return writer.message
