"""Push: the header proves who sends which records to whom and when, and an attacker can use it for nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Code, ProtocolError
from protocol.records.push import PUSH_AGE_S_MAX, check_push, sign_push
from protocol.signing import SigningKey

ALICE = SigningKey(b"a" * 32)
MALLORY = SigningKey(b"m" * 32)
BOB = SigningKey(b"b" * 32).public
CAROL = SigningKey(b"c" * 32).public
NOW_S = 1_800_000_000
BODY = b'{"records":1}'


def code_of(header: str, *, receiver: str = BOB, body: bytes = BODY, now_s: float = NOW_S) -> Code:
    with pytest.raises(ProtocolError) as caught:
        check_push(header, receiver, body, now_s)
    return caught.value.code


def test_a_push_names_the_key_that_signed_it() -> None:
    header = sign_push(ALICE, BOB, BODY, NOW_S + 0.9)

    assert check_push(header, BOB, BODY, NOW_S) == ALICE.public


@pytest.mark.parametrize("now_s", [NOW_S - PUSH_AGE_S_MAX, NOW_S + PUSH_AGE_S_MAX])
def test_a_push_is_valid_up_to_its_age_before_and_after_its_time(now_s: float) -> None:
    header = sign_push(ALICE, BOB, BODY, NOW_S)

    assert check_push(header, BOB, BODY, now_s) == ALICE.public


@pytest.mark.parametrize("now_s", [NOW_S - PUSH_AGE_S_MAX - 1, NOW_S + PUSH_AGE_S_MAX + 1])
def test_a_push_is_refused_one_second_past_its_age(now_s: float) -> None:
    header = sign_push(ALICE, BOB, BODY, NOW_S)

    assert code_of(header, now_s=now_s) is Code.BAD_SIGNATURE


def test_a_push_cannot_be_replayed_to_another_node() -> None:
    header = sign_push(ALICE, BOB, BODY, NOW_S)

    assert code_of(header, receiver=CAROL) is Code.BAD_SIGNATURE


def test_a_push_is_valid_only_for_its_own_body() -> None:
    header = sign_push(ALICE, BOB, BODY, NOW_S)

    assert code_of(header, body=BODY + b" ") is Code.BAD_SIGNATURE


def test_a_push_cannot_name_another_key_or_a_later_time() -> None:
    header = sign_push(MALLORY, BOB, BODY, NOW_S)

    assert code_of(header.replace(MALLORY.public, ALICE.public)) is Code.BAD_SIGNATURE
    assert code_of(header.replace(str(NOW_S), str(NOW_S + 1))) is Code.BAD_SIGNATURE


def test_fields_may_come_in_any_order_and_with_others() -> None:
    fields = sign_push(ALICE, BOB, BODY, NOW_S).split(", ")

    header = ",".join(["later=1", *reversed(fields)])

    assert check_push(header, BOB, BODY, NOW_S) == ALICE.public


GOOD = sign_push(ALICE, BOB, BODY, NOW_S)
UNREADABLE = {
    "empty": "",
    "no signature": GOOD.partition(", signature")[0],
    "a field twice": f"{GOOD}, time={NOW_S}",
    "upper-case hex": GOOD.replace(ALICE.public, ALICE.public.upper()),
    "a time with a fraction": GOOD.replace(str(NOW_S), f"{NOW_S}.5"),
    "a time in other digits": GOOD.replace(str(NOW_S), "١٢٣"),
    "a time that a float cannot hold": GOOD.replace(str(NOW_S), "9" * 17),
    "a line feed after the key": GOOD.replace(ALICE.public, ALICE.public + "\n;"),
}


@pytest.mark.parametrize("header", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_an_unreadable_header_is_malformed(header: str) -> None:
    assert code_of(header) is Code.MALFORMED


@given(st.text())
def test_any_text_is_refused_with_a_code(header: str) -> None:
    assert code_of(header) in {Code.MALFORMED, Code.BAD_SIGNATURE}
