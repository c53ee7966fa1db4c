"""Varints: integers in as few bytes as they need, as Negentropy v1 writes them.

A varint is the digits of a number in base 128, the most significant digit first. Every byte but the last has its high
bit set. A varint that is read comes from a peer, so the reader is strict: no leading zero digit, and at most 64 bits,
which is the range of timestamps and lengths.
"""

from typing import Final

from protocol.errors import Code, ProtocolError

VARINT_MAX: Final = 2**64 - 1

_DIGITS_MAX = 10
"""Digits of VARINT_MAX in base 128. The reader stops after this many, so that no integer grows with the message."""

_ONE_DIGIT = [bytes([value]) for value in range(128)]


def encode_varint(value: int) -> bytes:
    """The only spelling of a value from 0 to VARINT_MAX."""
    assert 0 <= value <= VARINT_MAX
    if value < 128:  # nearly all modes, lengths and time steps
        return _ONE_DIGIT[value]
    digits = [value & 127]
    while value := value >> 7:
        digits.append(value & 127 | 128)
    return bytes(reversed(digits))


def decode_varint(data: bytes, offset: int) -> tuple[int, int]:
    """The value that starts at the offset, and the offset after it.

    Raises:
        ProtocolError: `malformed` if the data end too early, or the value is above VARINT_MAX or has a leading zero.
    """
    if offset < len(data) and data[offset] < 128:
        return data[offset], offset + 1
    value = 0
    for end, byte in enumerate(data[offset : offset + _DIGITS_MAX], start=offset + 1):
        value = value << 7 | byte & 127
        if byte < 128:
            return _checked(value), end
        if value == 0:
            raise ProtocolError(Code.MALFORMED, f"the varint at byte {offset} has a leading zero digit")
    if offset + _DIGITS_MAX > len(data):
        raise ProtocolError(Code.MALFORMED, "the message ends inside a varint")
    raise ProtocolError(Code.MALFORMED, f"the varint at byte {offset} has more than {_DIGITS_MAX} digits")


def _checked(value: int) -> int:
    if value > VARINT_MAX:
        raise ProtocolError(Code.MALFORMED, f"the varint {value} is beyond 64 bits")
    return value
