"""Varints: one spelling for each value, and an error for everything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Code, ProtocolError
from protocol.sets.varint import VARINT_MAX, decode_varint, encode_varint

# Written by hand: digits in base 128, the most significant first, with the high bit set on all but the last.
SPELLINGS = [
    (0, "00"),
    (1, "01"),
    (127, "7f"),
    (128, "8100"),
    (300, "822c"),
    (16_383, "ff7f"),
    (16_384, "818000"),
    (VARINT_MAX, "81ffffffffffffffff7f"),
]


@pytest.mark.parametrize(("value", "spelling"), SPELLINGS)
def test_the_most_significant_digit_comes_first(value: int, spelling: str) -> None:
    assert encode_varint(value) == bytes.fromhex(spelling)


@given(value=st.integers(0, VARINT_MAX), before=st.binary(max_size=3), behind=st.binary(max_size=3))
def test_a_varint_between_other_bytes_reads_as_it_was_written(value: int, before: bytes, behind: bytes) -> None:
    spelling = encode_varint(value)

    read = decode_varint(before + spelling + behind, len(before))

    assert read == (value, len(before + spelling))


REFUSED = [
    ("", "the message ends inside a varint"),
    ("81", "the message ends inside a varint"),
    ("ffffffffffffffffff", "the message ends inside a varint"),
    ("8000", "the varint at byte 0 has a leading zero digit"),
    ("82808080808080808000", "the varint 18446744073709551616 is beyond 64 bits"),
    ("ffffffffffffffffff7f", "the varint 1180591620717411303423 is beyond 64 bits"),
    ("ff" * 10, "the varint at byte 0 has more than 10 digits"),
    ("ff" * 1_000_000, "the varint at byte 0 has more than 10 digits"),
]


@pytest.mark.parametrize(("spelling", "reason"), REFUSED)
def test_only_the_shortest_spelling_of_at_most_64_bits_is_accepted(spelling: str, reason: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_varint(bytes.fromhex(spelling), 0)

    assert (caught.value.code, caught.value.detail) == (Code.MALFORMED, reason)


@given(data=st.binary(max_size=12))
def test_any_bytes_are_malformed_or_the_only_spelling_of_a_value(data: bytes) -> None:
    """With two spellings of one value, two different messages could mean the same."""
    try:
        value, end = decode_varint(data, 0)
    except ProtocolError as error:
        read = error.code.encode()
    else:
        read = encode_varint(value) + data[end:]

    assert read in (data, b"malformed")
