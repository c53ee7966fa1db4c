"""Lines of entries, as other programs leave them."""

import io

import pytest

from node.cli.input.entries import BYTE_ORDER_MARK, LINE_BYTES_MAX, EntryLine, entry_of, read_lines
from protocol.errors import Code, ProtocolError

LONGEST = b"x" * LINE_BYTES_MAX


def test_every_line_has_its_number_and_the_offset_of_the_next() -> None:
    assert list(read_lines(io.BytesIO(b"a\n\nb"), number=5, offset=10)) == [
        EntryLine(5, b"a", 12),
        EntryLine(6, b"", 13),
        EntryLine(7, b"b", 14),
    ]


def test_a_byte_order_mark_is_left_out_and_noted() -> None:
    marked = BYTE_ORDER_MARK + b"a\n"

    assert list(read_lines(io.BytesIO(marked * 2))) == [EntryLine(1, b"a", 5, True), EntryLine(2, b"a", 10, True)]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_the_longest_line_is_read_whole(end: bytes) -> None:
    assert list(read_lines(io.BytesIO(LONGEST + end))) == [EntryLine(1, LONGEST, LINE_BYTES_MAX + len(end))]


@pytest.mark.parametrize("more", [1, LINE_BYTES_MAX, 3 * LINE_BYTES_MAX + 7])
def test_a_line_that_is_too_long_is_one_line_and_hides_none(more: int) -> None:
    """The memory for the line is limited too."""
    source = io.BytesIO(LONGEST + b"x" * more + b"\nnext\n")

    long, following = read_lines(source)

    assert (long.number, len(long.data), long.end) == (1, LINE_BYTES_MAX + 1, LINE_BYTES_MAX + more + 1)
    assert following == EntryLine(2, b"next", LINE_BYTES_MAX + more + 6)
    with pytest.raises(ProtocolError) as refused:
        entry_of(long)
    assert refused.value.code == Code.TOO_LARGE


@pytest.mark.parametrize(
    "data",
    [b"notes", b"{}", b"\xff", b"[" * 100_000, b'{"signature":"00","record":{}}', b'{"signature":"a\\"b","record":{}}'],
)
def test_a_line_without_an_entry_is_malformed(data: bytes) -> None:
    with pytest.raises(ProtocolError) as refused:
        entry_of(EntryLine(1, data, 0))

    assert refused.value.code == Code.MALFORMED
