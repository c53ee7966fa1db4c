"""Canonical JSON: one spelling for each value, and one kind of error for all other bytes."""

import json
from decimal import Decimal
from random import Random
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.errors import Code, ProtocolError
from protocol.limits import DEPTH_MAX, SAFE_INTEGER_MAX
from protocol.records.canonical import canonicalise, encode, encode_quickly
from tests.paths import VECTORS

JCS_VECTORS = VECTORS / "jcs"
VECTOR_NAMES = ("arrays", "french", "structures", "unicode", "values", "weird")


def is_beyond_i_json(number: float) -> bool:
    """Whether the number is refused: an integer that a double does not hold exactly, written without an exponent."""
    return number.is_integer() and SAFE_INTEGER_MAX < abs(number) < 1e21


floats = st.floats(allow_nan=False, allow_infinity=False)
numbers = st.integers(-SAFE_INTEGER_MAX, SAFE_INTEGER_MAX) | floats.filter(lambda number: not is_beyond_i_json(number))
texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('\x00\x08\x1f"\\/\x7f\x80é\u2028\ufb33😀'))
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
plain_texts = st.text(st.characters(max_codepoint=0x7F))
plain_integers = st.integers(-SAFE_INTEGER_MAX, SAFE_INTEGER_MAX)
plain_objects = st.dictionaries(
    plain_texts,
    st.recursive(
        st.none() | st.booleans() | plain_integers | plain_texts,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain_texts, inner, max_size=4),
        max_leaves=12,
    ),
)


class Spelling:
    """Writes a value in one of its many spellings: with white space, escapes, other orders of keys and forms of
    numbers.
    """

    def __init__(self, chance: Random) -> None:
        self.chance = chance

    def of(self, value: Any) -> str:
        pad, other = self.space(), self.space()
        if isinstance(value, str):
            return pad + self.string(value) + other
        if isinstance(value, list):
            return f"{pad}[{','.join(map(self.of, value)) or self.space()}]{other}"
        if isinstance(value, dict):
            keys = self.chance.sample(list(value), len(value))
            members = (f"{self.space()}{self.string(key)}{self.space()}:{self.of(value[key])}" for key in keys)
            return f"{pad}{{{','.join(members) or self.space()}}}{other}"
        if isinstance(value, bool) or value is None:
            return pad + json.dumps(value) + other
        return pad + self.number(value) + other

    def space(self) -> str:
        return "".join(self.chance.choices(" \t\r\n", k=self.chance.choice((0, 0, 0, 1, 3))))

    def string(self, text: str) -> str:
        return f'"{"".join(map(self.character, text))}"'

    def character(self, character: str) -> str:
        if self.chance.random() < 0.7 and character >= " " and character not in '"\\':
            return character
        if character == "/":
            return "\\/"
        spelled = json.dumps(character)[1:-1]
        return spelled.upper().replace("\\U", "\\u") if len(spelled) >= 6 and self.chance.random() < 0.5 else spelled

    def number(self, number: float) -> str:
        plain = repr(number)
        if self.chance.random() < 0.5:
            return plain
        sign, digits, exponent = Decimal(plain).as_tuple()
        assert isinstance(exponent, int)
        mark, plus = self.chance.choice("eE"), self.chance.choice(("", "+")) if exponent >= 0 else ""
        return f"{'-' * sign}{int(''.join(map(str, digits)))}{mark}{plus}{exponent}"


spelled = st.tuples(values, st.randoms(use_true_random=False)).map(
    lambda pair: (pair[0], Spelling(pair[1]).of(pair[0]))
)


@pytest.mark.parametrize("name", VECTOR_NAMES)
def test_the_published_vectors_of_rfc_8785_give_the_published_bytes(name: str) -> None:
    if not JCS_VECTORS.is_dir():
        pytest.skip("the RFC 8785 vectors are not part of the repository and are absent here")

    _, canonical = canonicalise((JCS_VECTORS / "input" / f"{name}.json").read_bytes())

    assert canonical == (JCS_VECTORS / "output" / f"{name}.json").read_bytes().rstrip(b"\n")


@given(spelled)
def test_every_spelling_of_a_value_has_the_bytes_that_rfc8785_writes(pair: tuple[Any, str]) -> None:
    value, text = pair

    _, canonical = canonicalise(text.encode())

    assert canonical == rfc8785.dumps(json.loads(text))
    assert canonical == rfc8785.dumps(value)


@given(plain_objects)
def test_the_fast_path_writes_the_same_as_the_exact_path(value: dict[str, Any]) -> None:
    """A leading space makes the same object take the exact path."""
    canonical = rfc8785.dumps(value)

    assert canonicalise(canonical) == (value, canonical)
    assert canonicalise(b" " + canonical) == (value, canonical)


@given(plain_objects)
def test_plain_fields_are_written_by_the_fast_path(fields: dict[str, Any]) -> None:
    assert encode_quickly(fields) == encode(fields)


@pytest.mark.parametrize(
    "value", [float("nan"), 1.5, 1.0, 2**53, "é", "\ud800", {1: 1}, (1,), {"a": [b"x"]}, {1, 2}, object()]
)
def test_other_fields_take_the_exact_path(value: Any) -> None:
    assert encode_quickly({"x": value}) is None


@given(values)
def test_canonical_bytes_are_canonical_again(value: Any) -> None:
    canonical = encode(value)

    read, again = canonicalise(canonical)

    assert again == canonical
    assert encode(read) == canonical


def test_both_paths_spell_every_ascii_character_alike() -> None:
    for code in range(0x80):
        value = {chr(code): chr(code)}
        canonical = rfc8785.dumps(value)

        assert canonicalise(canonical) == canonicalise(b" " + canonical) == (value, canonical)


def deep(levels: int) -> bytes:
    """The canonical bytes of an object with that many levels."""
    return b'{"a":' * levels + b"1" + b"}" * levels


GUARDS = {
    "ascii: keys are ordered by UTF-16, not by code point": ('{"\ufb33":1,"😀":2}', '{"😀":2,"\ufb33":1}'),
    "equality: white space": ('{"a": 1}', '{"a":1}'),
    "equality: order of keys": ('{"b":1,"a":2}', '{"a":2,"b":1}'),
    "equality: a needless escape": (r'{"\u0061":"\/"}', '{"a":"/"}'),
    "equality: an escape in capitals": (r'{"a":"\u001F"}', r'{"a":"\u001f"}'),
    "equality: an escape with a short form": (r'{"a":"\u000a"}', r'{"a":"\n"}'),
    "equality: an escape beyond ascii": (r'{"a":"\u00e9\ud83d\ude00"}', '{"a":"é😀"}'),
    "equality: minus zero": ('{"a":-0}', '{"a":0}'),
    "equality: an integer spelled as a fraction": ('{"a":1.0}', '{"a":1}'),
    "floats: an integer spelled as a fraction, nested": ('{"a":[1.0]}', '{"a":[1]}'),
    "floats: minus zero, nested": ('{"a":[-0.0]}', '{"a":[0]}'),
    "floats: an exponent's sign": ('{"a":{"b":1e22}}', '{"a":{"b":1e+22}}'),
    "floats: an exponent's sign, at the top": ('{"a":1e22}', '{"a":1e+22}'),
    "not an object": (" [ 1 ] ", "[1]"),
    "empty": ("{ }", "{}"),
}


@pytest.mark.parametrize(("spelling", "canonical"), GUARDS.values(), ids=GUARDS)
def test_each_guard_of_the_fast_path_stops_a_wrong_spelling(spelling: str, canonical: str) -> None:
    assert canonicalise(spelling.encode())[1] == canonical.encode()


NUMBERS = {
    "1.0": "1",
    "1e3": "1000",
    "10e-1": "1",
    "-0": "0",
    "-0.0": "0",
    "0e999999": "0",
    "1e-400": "0",
    "0.1e1": "1",
    "1e-6": "0.000001",
    "1e-7": "1e-7",
    "0.00001234": "0.00001234",
    "123.456": "123.456",
    "1e21": "1e+21",
    "12345e20": "1.2345e+24",
    "5e-324": "5e-324",
    "1.7976931348623157e308": "1.7976931348623157e+308",
    "9007199254740991": "9007199254740991",
    "-9007199254740991": "-9007199254740991",
    "9007199254740991.0": "9007199254740991",
    "9007199254740990.5": "9007199254740990",
    "0.30000000000000004": "0.30000000000000004",
}


@pytest.mark.parametrize(("spelling", "canonical"), NUMBERS.items())
def test_a_number_is_written_as_the_double_that_it_names(spelling: str, canonical: str) -> None:
    assert canonicalise(spelling.encode())[1] == canonical.encode()
    assert canonicalise(b'{"a":[%s]}' % spelling.encode())[1] == b'{"a":[%s]}' % canonical.encode()


def ecmascript(number: float) -> str:
    """Number::toString of ECMA-262, case by case, from the shortest digits, which Python finds too."""
    if number == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    assert isinstance(exponent, int)
    s, k = "".join(map(str, digits)), len(digits)
    n = k + exponent
    if k <= n <= 21:
        text = s + "0" * (n - k)
    elif 0 < n <= 21:
        text = f"{s[:n]}.{s[n:]}"
    elif -6 < n <= 0:
        text = "0." + "0" * -n + s
    else:
        text = f"{s[0]}{'.' if k > 1 else ''}{s[1:]}e{n - 1:+d}"
    return "-" * sign + text


@given(numbers)
@example(1e21)
@example(-1e-7)
@example(2.0**53 - 1)
@example(123456789012345.67)
def test_a_number_is_written_as_ecmascript_writes_it(number: float) -> None:
    assert encode(number) == ecmascript(float(number)).encode()


MALFORMED = {
    "nothing": (b"", "not JSON: Expecting value"),
    "only white space": (b" \n", "not JSON: Expecting value"),
    "no UTF-8": (b'{"a":"\xff"}', "not UTF-8 at byte 6"),
    "an overlong form": (b'"\xc0\xaf"', "not UTF-8 at byte 1"),
    "a surrogate in UTF-8": (b'"\xed\xa0\x80"', "not UTF-8 at byte 1"),
    "UTF-16": ('{"a":1}'.encode("utf-16-le"), "not JSON"),
    "a byte order mark": (b'\xef\xbb\xbf{"a":1}', "not JSON: Unexpected UTF-8 BOM"),
    "bytes after the value": (b'{"a":1}x', "not JSON: Extra data at character 7"),
    "a second value": (b"{}{}", "not JSON: Extra data at character 2"),
    "a NUL after the value": (b"{}\x00", "not JSON: Extra data at character 2"),
    "cut": (b'{"a":', "not JSON: Expecting value at character 5"),
    "a cut string": (b'"abc', "not JSON: Unterminated string"),
    "a key without quotes": (b"{a:1}", "not JSON"),
    "single quotes": (b"{'a':1}", "not JSON"),
    "a number as key": (b"{1:1}", "not JSON"),
    "a comma too many": (b"[1,]", "not JSON"),
    "a comma too many in an object": (b'{"a":1,}', "not JSON"),
    "a comment": (b"{/**/}", "not JSON"),
    "a leading zero": (b"[01]", "not JSON"),
    "a plus": (b"+1", "not JSON"),
    "a point first": (b"[.5]", "not JSON"),
    "a point last": (b"[1.]", "not JSON"),
    "hexadecimal": (b"0x10", "not JSON"),
    "digits of another script": ("[１]".encode(), "not JSON"),  # noqa: RUF001 - full-width on purpose
    "white space of another script": ("\u00a0{}".encode(), "not JSON"),
    "a raw line feed in a string": (b'"\n"', "not JSON: Invalid control character"),
    "an unknown escape": (rb'"\x41"', "not JSON: Invalid \\escape"),
    "a short escape": (rb'"\u41"', "not JSON: Invalid \\uXXXX escape"),
    "a repeated key": (b'{"a":1,"a":1}', "the key 'a' is repeated"),
    "a repeated key, spelled twice": (rb'{"a":1,"\u0061":2}', "the key 'a' is repeated"),
    "a repeated key, nested": (b'{"b":[{"a":1,"a":2}]}', "the key 'a' is repeated"),
    "not a number": (b'{"a":NaN}', "NaN is not JSON"),
    "infinity": (b'{"a":Infinity}', "Infinity is not JSON"),
    "minus infinity": (b'{"a":-Infinity}', "-Infinity is not JSON"),
    "beyond a double": (b"[1e400]", "the number 1e400 is beyond what a double holds"),
    "beyond a double, downwards": (b"[-1e400]", "the number -1e400 is beyond what a double holds"),
    "endless digits": (b"1" * 100_000, "is beyond what a double holds"),
    "2^53": (b'{"a":9007199254740992}', "the integer 9007199254740992 is beyond 2^53-1: write it as a string"),
    "-2^53": (b'{"a":-9007199254740992}', "the integer -9007199254740992 is beyond 2^53-1"),
    "2^53, nested": (b'{"a":[9007199254740992]}', "is beyond 2^53-1"),
    "-2^53, nested": (b'{"a":[-9007199254740992]}', "is beyond 2^53-1"),
    "2^64": (b'{"a":[18446744073709551616]}', "is beyond 2^53-1"),
    "1e20, a 21-digit integer in canonical form": (b'{"a":1e20}', "the integer 1e20 is beyond 2^53-1"),
    "a lone surrogate": (rb'{"a":"\ud800"}', "not I-JSON"),
    "a lone low surrogate": (rb'{"a":"\udc00"}', "not I-JSON"),
    "surrogates in the wrong order": (rb'{"a":"\udc00\ud800"}', "not I-JSON"),
    "a lone surrogate in a key": (rb'{"\ud800":1}', "not I-JSON: a key holds a lone surrogate"),
    "one level too many": (deep(DEPTH_MAX + 1), "nested deeper than 32 levels"),
    "one level too many, of arrays": (b"[" * 33 + b"]" * 33, "nested deeper than 32 levels"),
    "too deep for any parser": (b"[" * 100_000 + b"]" * 100_000, "nested deeper than 32 levels"),
    "too deep and cut": (b'{"a":' * 100_000, "nested deeper than 32 levels"),
}


@pytest.mark.parametrize(("data", "words"), MALFORMED.values(), ids=MALFORMED)
def test_bytes_that_are_not_i_json_are_malformed_with_a_reason(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        canonicalise(data)

    assert caught.value.code is Code.MALFORMED
    assert words in caught.value.detail
    assert len(caught.value.detail) < 300
    caught.value.detail.encode()


@pytest.mark.parametrize("data", [deep(DEPTH_MAX), b"[" * 32 + b"]" * 32, b" " + deep(DEPTH_MAX)])
def test_the_deepest_allowed_level_is_accepted(data: bytes) -> None:
    assert canonicalise(data)[1] == data.strip()


def only_a_value_or_one_error(data: bytes) -> None:
    """Fail on any other exception, and on any other code."""
    refusal = None
    try:
        value, canonical = canonicalise(data)
    except ProtocolError as error:
        refusal = error
    else:
        assert canonicalise(canonical)[1] == encode(value) == canonical

    assert refusal is None or (refusal.code is Code.MALFORMED and refusal.detail.isprintable())


@given(st.binary())
@example(b"\x00")
@example(rb'{"\ud800":1,"\ud800":1}')
def test_any_bytes_give_a_value_or_one_error(data: bytes) -> None:
    only_a_value_or_one_error(data)


@given(st.text(st.sampled_from('{}[]",:\\u0dDeE.+-19 atrufNIn\n\ud7ff')).map(str.encode))
def test_any_text_of_the_characters_of_json_gives_a_value_or_one_error(data: bytes) -> None:
    only_a_value_or_one_error(data)


@given(spelled, st.integers(0), st.binary(max_size=3), st.integers(0, 3))
def test_a_damaged_document_gives_a_value_or_one_error(
    pair: tuple[Any, str], place: int, patch: bytes, cut: int
) -> None:
    data = pair[1].encode()
    place %= len(data) + 1

    only_a_value_or_one_error(data[:place] + patch + data[place + cut :])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, -(2**53), "\ud800", {"\ud800": 1}, {1: 1}])
def test_a_value_that_i_json_cannot_express_is_not_encoded(value: Any) -> None:
    with pytest.raises(ProtocolError) as caught:
        encode(value)

    assert caught.value.code is Code.MALFORMED
