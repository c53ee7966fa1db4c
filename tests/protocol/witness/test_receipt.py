"""Every node counts the same receipts, so each rule of their form is strict."""

from typing import Any

import pytest

from protocol.limits import SAFE_INTEGER_MAX
from protocol.records.record import Record, make
from protocol.witness.receipt import BALLOTS_MAX, ENTRIES_MAX, Receipt, receipt_of
from tests.protocol.witness.council import key_of

WITNESS = key_of(1)
AT_MS = 1_790_000_000_123
IDS = [f"{number:064x}" for number in range(ENTRIES_MAX + 1)]
ONE, TWO = IDS[1], IDS[2]


def record(**changes: Any) -> Record:
    fields = {"domain": "example", "label": f"@seen/{WITNESS}", "signedby": WITNESS, "at": AT_MS}
    return make({**fields, "timestamp": changes.get("at", AT_MS) // 1000, **changes})


def test_a_receipt_says_what_was_seen_voted_and_committed() -> None:
    said = record(
        prev=TWO, first={ONE: 1}, seen={TWO: AT_MS}, vote={"1": [ONE], "12": [TWO, ONE]}, commit={"0": [TWO]}, more=True
    )

    receipt = receipt_of(said)

    assert receipt == Receipt(
        id=said.id,
        witness=WITNESS,
        prev=TWO,
        at_ms=AT_MS,
        first={ONE: 1},
        seen={TWO: AT_MS},
        votes={1: (ONE,), 12: (TWO, ONE)},
        commits={0: (TWO,)},
        size_bytes=len(said.canonical),
    )
    assert list(receipt.all_votes()) == [(0, ONE), (1, ONE), (12, TWO), (12, ONE)]


def test_a_receipt_may_say_nothing() -> None:
    assert receipt_of(record()) is not None


BROKEN: dict[str, dict[str, Any]] = {
    "under another key's label": {"label": f"@seen/{key_of(2)}"},
    "an `at` below one second": {"at": 999, "timestamp": 1},
    "an `at` that is a text": {"at": 0, "timestamp": 1},
    "a timestamp of another second": {"timestamp": AT_MS // 1000 + 1},
    "a list for a map": {"first": [ONE]},
    "an id in capitals": {"seen": {"A" * 64: 1}},
    "an id with a space": {"seen": {ONE: 1, " " + ONE[1:]: 1}},
    "an id that is no ASCII": {"commit": {"0": [ONE, "\u00e9" * 64]}},
    "an id that is a number": {"commit": {"0": [1]}},
    "two ids of 63 and 65 digits": {"vote": {"1": [ONE[1:], ONE + "0"]}},
    "a time of zero": {"seen": {ONE: 0}},
    "a time that is no integer": {"seen": {ONE: 1.5}},
    "a time that is true": {"first": {ONE: True}},
    "a vote of round 0": {"vote": {"0": [ONE]}},
    "a round with a leading zero": {"commit": {"01": [ONE]}},
    "a round below zero": {"commit": {"-1": [ONE]}},
    "a round of ten digits": {"commit": {"1000000000": [ONE]}},
    "a round with a line feed": {"commit": {"1\n": [ONE]}},
    "an id twice in a list": {"commit": {"1": [ONE, ONE]}},
    "no id in a list": {"vote": {"1": ["x"]}},
    "a map for a list": {"vote": {"1": {ONE: 1}}},
    "entries past the limit": {"first": {ONE: 1}, "seen": dict.fromkeys(IDS[2:], 1) | {IDS[0]: 1}},
    "ballots past the limit": {"vote": {"1": IDS[1:BALLOTS_MAX]}, "commit": {"0": IDS[:2]}},
}


@pytest.mark.parametrize("changes", BROKEN.values(), ids=BROKEN)
def test_a_receipt_that_breaks_a_rule_counts_for_nothing(changes: dict[str, Any]) -> None:
    assert receipt_of(record(**changes)) is None


ALLOWED: dict[str, dict[str, Any]] = {
    "the smallest `at`": {"at": 1_000},
    "the largest `at`": {"at": SAFE_INTEGER_MAX},
    "the largest round": {"commit": {"999999999": [ONE]}},
    "as many entries as may be": {"seen": dict.fromkeys(IDS[:ENTRIES_MAX], 1)},
    "as many ballots as may be": {"commit": {"0": IDS[:BALLOTS_MAX]}},
    "one id in two rounds": {"commit": {"0": [ONE], "1": [ONE]}},
    "a whole number spelled as a fraction": {"seen": {ONE: 1.0}},
}


@pytest.mark.parametrize("changes", ALLOWED.values(), ids=ALLOWED)
def test_a_receipt_at_the_edge_of_a_rule_counts(changes: dict[str, Any]) -> None:
    assert receipt_of(record(**changes)) is not None
