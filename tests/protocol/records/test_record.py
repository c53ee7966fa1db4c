"""Records: their bytes alone decide whether they are valid. Every rule, one past every limit, and hostile bytes."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.errors import Code, ProtocolError
from protocol.limits import RECORD_BYTES_MAX, SAFE_INTEGER_MAX, SPELLING_BYTES_MAX
from protocol.records.record import Record, decode, is_domain, is_id, is_label, make, sign
from protocol.sets.index import pack_key
from tests.history import ALICE, BOB, claim, histories, signed

HEX = "0af9" * 16
FIELDS: dict[str, Any] = {"domain": "example", "label": "garden", "signedby": ALICE.public, "timestamp": 1_800_000_000}
ABSENT = object()


def spell(**changes: Any) -> bytes:
    """The JSON of a good record, with these fields changed or left out."""
    fields = {key: value for key, value in {**FIELDS, **changes}.items() if value is not ABSENT}
    return json.dumps(fields, ensure_ascii=False).encode()


def refusal(data: bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        decode(data)
    return caught.value


def test_a_record_has_the_fields_of_its_json() -> None:
    record = decode(spell(newowner=BOB.public, prev=HEX, fruit=["apple", None, 1.5]))

    canonical = (
        f'{{"domain":"example","fruit":["apple",null,1.5],"label":"garden","newowner":"{BOB.public}",'
        f'"prev":"{HEX}","signedby":"{ALICE.public}","timestamp":1800000000}}'
    ).encode()
    assert record == Record(
        domain="example",
        label="garden",
        signedby=ALICE.public,
        timestamp=1_800_000_000,
        newowner=BOB.public,
        prev=HEX,
        id=hashlib.sha256(canonical).hexdigest(),
        canonical=canonical,
        index_key=pack_key(1_800_000_000, hashlib.sha256(canonical).digest()),
    )


def test_optional_fields_may_be_absent() -> None:
    record = decode(spell())

    assert (record.newowner, record.prev) == (None, None)


def test_two_spellings_give_the_same_record() -> None:
    one, other = decode(json.dumps(FIELDS, indent=4).encode()), decode(json.dumps(FIELDS, sort_keys=True).encode())

    assert one == other == make(FIELDS)


@pytest.mark.parametrize("number", ["1.0", "1", "10e-1", "0.1E+1"])
def test_a_timestamp_may_be_spelled_as_any_number_of_its_value(number: str) -> None:
    data = spell(timestamp="T").replace(b'"T"', number.encode())

    assert decode(data) == make({**FIELDS, "timestamp": 1})
    assert type(decode(data).timestamp) is int


LONGEST_DOMAIN = ".".join(["a" * 63] * 3 + ["a" * 61])
LONGEST_LABEL = "é" * 127 + "e"

GOOD: dict[str, list[Any]] = {
    "domain": ["a", "0", "a-b", "a--b", "a.b-c.0", "xn--bcher-kva.example", "a" * 253, LONGEST_DOMAIN],
    "label": ["a", " ", "/", "..", "é", "😀", "a" * 255, LONGEST_LABEL, "@", "@later", "\u00a0", "\u2028", "e\u0301"],
    "signedby": [HEX, "0" * 64],
    "timestamp": [1, SAFE_INTEGER_MAX],
    "newowner": [HEX, ALICE.public, ABSENT],
    "prev": [HEX, ABSENT],
    "fruit": [None, True, [], {}, "@", -1.5, {"domain": "Not A Domain"}, ABSENT],
}
BAD: dict[str, list[Any]] = {
    "domain": [
        *("", ".", "a.", ".a", "a..b", "-a", "a-", "a.-b", "a-.b", "A", "a_b", "a b", "a/b", "é", "a\n", "a\x00"),
        *("a" * 254, LONGEST_DOMAIN + ".a", None, 1, True, ["a"], {"a": 1}, ABSENT, "ａ", "\u0660"),  # noqa: RUF001
    ],
    "label": [
        *("", "a" * 256, LONGEST_LABEL + "é", "\x00", "a\n", "\x1f", "\x7f", "\x80", "\x9f", "a\u0085b"),
        *(None, 1, False, ["a"], {}, ABSENT),
    ],
    "signedby": ["", HEX[1:], HEX + "0", HEX.upper(), HEX + "\n", "g" * 64, "\uff10" * 64, None, 1, [HEX], ABSENT],
    "timestamp": [0, -1, 1.5, True, False, "1", None, [1], {}, 1e300, ABSENT],
    "newowner": ["", HEX[1:], HEX + "0", HEX.upper(), HEX + "\n", None, 1, True, [HEX], {}],
    "prev": ["", HEX[1:], HEX + "0", HEX.upper(), HEX + "\n", None, 1, True, [HEX], {}],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in GOOD.items() for value in values])
def test_every_value_that_a_rule_allows_gives_a_record(key: str, value: Any) -> None:
    record = decode(spell(**{key: value}))

    assert json.loads(record.canonical).get(key, ABSENT) == value
    assert decode(record.canonical) == record


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in BAD.items() for value in values])
def test_every_value_that_a_rule_forbids_is_malformed_and_its_key_is_named(key: str, value: Any) -> None:
    error = refusal(spell(**{key: value}))

    assert error.code is Code.MALFORMED
    assert error.facts == {"key": key}
    assert f"`{key}`" in error.detail


@pytest.mark.parametrize("timestamp", [2**53, 2**64, 10**20])
def test_a_timestamp_beyond_2_53_minus_1_is_malformed(timestamp: int) -> None:
    error = refusal(spell(timestamp=timestamp))

    assert error.code is Code.MALFORMED
    assert "beyond 2^53-1" in error.detail


@pytest.mark.parametrize("data", [b"[]", b"1", b'"a"', b"null", b"true", b"[{}]"])
def test_a_record_is_an_object(data: bytes) -> None:
    error = refusal(data)

    assert (error.code, error.detail) == (Code.MALFORMED, "a record is a JSON object")


@pytest.mark.parametrize("key", ["domain", "label", "signedby", "timestamp"])
def test_a_missing_key_and_a_wrong_value_have_different_reasons(key: str) -> None:
    assert refusal(spell(**{key: ABSENT})).detail.startswith(f"`{key}` is missing: ")
    assert refusal(spell(**{key: None})).detail.startswith(f"`{key}` has the wrong form: ")


@pytest.mark.parametrize("filler", ["a", "é"])
def test_a_record_has_at_most_65536_canonical_bytes(filler: str) -> None:
    """Both paths through canonical JSON keep the limit: the second filler takes the exact path."""
    room = RECORD_BYTES_MAX - len(make({**FIELDS, "text": ""}).canonical)
    text = filler * (room // len(filler.encode())) + "a" * (room % len(filler.encode()))

    assert len(make({**FIELDS, "text": text}).canonical) == RECORD_BYTES_MAX
    assert refusal(spell(text=text + "a")).code is Code.TOO_LARGE


def test_a_spelling_has_at_most_four_times_as_many_bytes() -> None:
    data = spell()

    assert decode(data.ljust(SPELLING_BYTES_MAX)) == decode(data)
    assert refusal(data.ljust(SPELLING_BYTES_MAX + 1)).code is Code.TOO_LARGE


def test_a_too_large_record_that_also_breaks_a_rule_is_malformed() -> None:
    """The first check that fails gives the code."""
    error = refusal(spell(domain="Not A Domain", text="a" * RECORD_BYTES_MAX))

    assert error.code is Code.MALFORMED


def test_a_record_has_at_most_32_levels_and_is_itself_the_first() -> None:
    lists: Any = []
    for _ in range(30):
        lists = [lists]

    assert decode(spell(lists=lists)).canonical.count(b"[") == 31
    assert refusal(spell(lists=[lists])).code is Code.MALFORMED


def test_a_repeated_key_is_malformed_even_if_no_rule_names_it() -> None:
    assert "repeated" in refusal(spell()[:-1] + b',"label":"garden"}').detail
    assert "repeated" in refusal(spell()[:-1] + b',"a":1,"a":1}').detail


@pytest.mark.parametrize(("label", "is_reserved"), [("@", True), ("@garden", True), ("garden@", False), (" @", False)])
def test_a_label_that_starts_with_an_at_sign_is_decoded_and_reserved(label: str, is_reserved: bool) -> None:
    """It decodes so that a node can skip and count the record. No peer is ever blamed for one."""
    assert decode(spell(label=label)).is_reserved is is_reserved


@given(st.text(st.characters(codec="utf-8")))
@example("a" * 255)
@example("\x9f")
@example("\xa0")
def test_a_label_is_any_text_of_1_to_255_bytes_without_control_characters(label: str) -> None:
    """Control characters are given by number, so that no rule depends on a version of Unicode."""
    is_good = 1 <= len(label.encode()) <= 255 and not any(
        ord(character) <= 0x1F or 0x7F <= ord(character) <= 0x9F for character in label
    )

    assert is_label(label) is is_good


@given(st.text("a0-._A\n", max_size=12) | st.text("a-.", min_size=250, max_size=256))
def test_a_domain_is_parts_separated_by_dots_that_are_not_empty_and_have_no_hyphen_at_an_end(domain: str) -> None:
    parts = domain.split(".")
    is_good = len(domain) <= 253 and all(
        part and set(part) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and "-" not in (part[0], part[-1])
        for part in parts
    )

    assert is_domain(domain) is is_good


def test_a_text_with_a_lone_surrogate_names_neither_domain_nor_label_nor_id() -> None:
    assert not is_domain("\ud800")
    assert not is_id("\ud800" * 64)
    assert not is_label("\ud800")


@pytest.mark.parametrize(("text", "is_good"), [(HEX, True), (HEX.upper(), False), (HEX + "\n", False), ("", False)])
def test_an_id_is_64_lower_case_hex_digits(text: str, is_good: bool) -> None:
    assert is_id(text) is is_good


def only_a_record_or_one_error(data: bytes) -> None:
    """Fail on any other exception, and on any other code."""
    refused = None
    try:
        record = decode(data)
    except ProtocolError as error:
        refused = error
    else:
        assert decode(record.canonical) == record

    assert refused is None or (refused.code is Code.MALFORMED and json.dumps(refused.facts))


@given(st.binary())
def test_any_bytes_give_a_record_or_one_error(data: bytes) -> None:
    only_a_record_or_one_error(data)


@given(st.integers(0), st.binary(max_size=3), st.integers(0, 3))
def test_a_damaged_record_gives_a_record_or_one_error(place: int, patch: bytes, cut: int) -> None:
    data = claim("garden", by=ALICE, prev=HEX, newowner=BOB.public, text="é", number=1.5).canonical
    place %= len(data)

    only_a_record_or_one_error(data[:place] + patch + data[place + cut :])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("domain", "label", "signedby", "timestamp", "prev"), JSON)))
def test_a_record_of_wrong_types_gives_a_record_or_one_error(fields: dict[str, Any]) -> None:
    only_a_record_or_one_error(json.dumps({**FIELDS, **fields}).encode())


@given(histories())
def test_different_records_have_different_ids_and_a_total_order(history: list[Record]) -> None:
    assert len({record.order_key for record in history}) == len(history)
    assert all(record.id == hashlib.sha256(record.canonical).hexdigest() for record in history)
    assert all(record.order_key == (record.timestamp, record.id) for record in history)


def test_a_record_is_signed_only_by_the_key_that_it_names() -> None:
    record = claim("garden", by=ALICE)

    assert signed(record).record is record
    with pytest.raises(AssertionError):
        sign(record, BOB)
