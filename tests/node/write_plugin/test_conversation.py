"""The lines between a node and the operator's program."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.write_plugin.conversation import (
    MESSAGE_CHARACTERS_MAX,
    Answer,
    PluginFaultError,
    Question,
    read_answer,
)
from protocol.records.admission import Trust
from protocol.records.replay import Verdict
from tests.history import ALICE, DOMAIN, claim


def test_a_question_is_one_line_of_json_that_holds_the_record_as_it_was_signed() -> None:
    record = claim("two\u2028lines", at=7, text="a\nb", n=1e30)

    line = Question(record, Trust.CLIENT, None, Verdict.FOUNDED).as_line()

    assert (line.count(b"\n"), line[-1:]) == (1, b"\n")
    assert record.canonical in line
    assert json.loads(line) == {
        "id": record.id,
        "domain": DOMAIN,
        "label": "two\u2028lines",
        "signedby": ALICE.public,
        "timestamp": 7,
        "trust": "client",
        "address": None,
        "record": json.loads(record.canonical),
        "verdict": "founded",
    }


ANSWERS = [
    (b'{"id":"ab","action":"accept"}', Answer("ab", "accept")),
    (b' {"action": "reject", "id": "ab", "message": "no", "more": [1]} \r', Answer("ab", "reject", "no")),
    (b'{"id":"ab","action":"reject","message":null}', Answer("ab", "reject")),
]


@pytest.mark.parametrize(("line", "answer"), ANSWERS)
def test_an_answer_is_read_whatever_else_stands_in_it(line: bytes, answer: Answer) -> None:
    assert read_answer(line) == answer


BROKEN = [
    b"",
    b"accept",
    b"[]",
    b'{"id":"ab"}',
    b'{"action":"accept"}',
    b'{"id":"ab","action":"maybe"}',
    b'{"id":1,"action":"accept"}',
    b'{"id":"ab","action":"accept"}{"id":"cd","action":"accept"}',
    b'\xff{"id":"ab","action":"accept"}',
    b"[" * 10_000,
]


@pytest.mark.parametrize("line", BROKEN)
def test_a_line_that_is_no_answer_is_a_fault_of_the_program(line: bytes) -> None:
    with pytest.raises(PluginFaultError, match="it wrote a line that is no answer"):
        read_answer(line)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_an_answer_or_a_fault(line: bytes) -> None:
    with suppress(PluginFaultError):
        assert isinstance(read_answer(line), Answer)


def test_a_long_message_is_cut_off() -> None:
    line = json.dumps({"id": "ab", "action": "reject", "message": "m" * (MESSAGE_CHARACTERS_MAX + 1)}).encode()

    assert read_answer(line).message == "m" * MESSAGE_CHARACTERS_MAX
