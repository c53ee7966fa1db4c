"""Lines out of a stream that anybody may have written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.write_plugin.lines import Lines, LineTooLongError

MOST = 5


@given(st.lists(st.binary(max_size=MOST).filter(lambda line: b"\n" not in line)), st.data())
def test_lines_come_out_as_they_went_in_however_the_stream_is_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    reader = Lines(MOST)

    assert [line for piece in pieces for line in reader.put(piece)] == lines


@pytest.mark.parametrize("data", [b"123456", b"123456\n", b"1\n123456", b"\n\n123456\n"])
def test_a_line_past_the_limit_is_an_error_whole_or_not(data: bytes) -> None:
    with pytest.raises(LineTooLongError):
        list(Lines(MOST).put(data))


def test_the_lines_before_one_that_is_too_long_are_given() -> None:
    lines = Lines(MOST).put(b"1\n2\n123456\n")

    assert [next(lines), next(lines)] == [b"1", b"2"]
    with pytest.raises(LineTooLongError):
        next(lines)
