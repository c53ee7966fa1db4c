"""The rules of an operator: whom they let write, and what a refused client is told."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Code, ProtocolError
from protocol.limits import LABEL_BYTES_MAX
from protocol.records.record import Record
from protocol.records.replay import EMPTY, State, Verdict
from protocol.records.write_policy import OPEN, WritePolicy, WriteRules, check_founded, check_rules, is_founding
from tests.history import ALICE, BOB, CAROL, claim, histories, records

A, B, C = ALICE.public, BOB.public, CAROL.public
SMALL: Final = claim("garden")
SIZE: Final = len(SMALL.canonical)


def refused_rule(record: Record, rules: WriteRules, *, founds: bool = True) -> str | None:
    """The rule that refuses the record; None: the record is welcome."""
    try:
        check_rules(record, rules, founds=founds)
    except ProtocolError as error:
        return str(error.facts["rule"])
    return None


CASES: list[tuple[WriteRules, Record, str | None]] = [
    (WriteRules(), claim("garden"), None),
    (WriteRules(banned_keys=frozenset({A})), claim("garden", by=ALICE), "banned_keys"),
    (WriteRules(banned_keys=frozenset({A})), claim("garden", by=BOB), None),
    (WriteRules(banned_keys=frozenset({B})), claim("garden", by=ALICE, newowner=B), None),
    (WriteRules(writers=frozenset({A})), claim("garden", by=ALICE), None),
    (WriteRules(writers=frozenset({A})), claim("garden", by=BOB), "writers"),
    (WriteRules(writers=frozenset()), claim("garden", by=ALICE), "writers"),
    (WriteRules(writers=frozenset({A}), banned_keys=frozenset({A})), claim("garden", by=ALICE), "banned_keys"),
    (WriteRules(banned_labels=("gar",)), claim("garden"), "banned_labels"),
    (WriteRules(banned_labels=("garden",)), claim("garden"), "banned_labels"),
    (WriteRules(banned_labels=("gardens", "Garden", "arden")), claim("garden"), None),
    (WriteRules(record_bytes_max=SIZE), SMALL, None),
    (WriteRules(record_bytes_max=SIZE - 1), SMALL, "record_bytes_max"),
    (WriteRules(founders=frozenset({A})), claim("garden", by=ALICE), None),
    (WriteRules(founders=frozenset({A})), claim("garden", by=BOB), "founders"),
    (WriteRules(founders=frozenset()), claim("garden", by=ALICE), "founders"),
]


@pytest.mark.parametrize(("rules", "record", "rule"), CASES)
def test_each_rule_refuses_what_it_names_and_nothing_else(rules: WriteRules, record: Record, rule: str | None) -> None:
    assert refused_rule(record, rules) == rule


def test_who_may_not_found_may_still_write_to_a_label_that_exists() -> None:
    assert refused_rule(SMALL, WriteRules(founders=frozenset()), founds=False) is None


@pytest.mark.parametrize("founded", [2, 3])
def test_a_key_that_founded_as_many_labels_as_it_may_founds_no_other(founded: int) -> None:
    with pytest.raises(ProtocolError) as refused:
        check_founded(SMALL, WriteRules(labels_per_founder_max=2), founded)

    assert (refused.value.code, refused.value.facts) == (Code.NOT_WELCOME, {"rule": "labels_per_founder_max"})


@pytest.mark.parametrize(("most", "founded"), [(2, 0), (2, 1), (None, 10**9)])
def test_a_key_that_founded_fewer_labels_than_it_may_founds_another(most: int | None, founded: int) -> None:
    check_founded(SMALL, WriteRules(labels_per_founder_max=most), founded)


def test_a_refused_client_is_told_the_operators_own_words_if_there_are_any() -> None:
    rules = WriteRules(banned_keys=frozenset({A}), message="write to ops@example.org")

    with pytest.raises(ProtocolError) as refused:
        check_rules(SMALL, rules, founds=True)

    assert (refused.value.detail, refused.value.facts) == ("write to ops@example.org", {"rule": "banned_keys"})


def test_the_rules_of_a_domain_take_the_place_of_those_for_all_but_bans_add_up() -> None:
    for_all = WriteRules(
        founders=frozenset({A}), banned_keys=frozenset({B}), banned_labels=("spam",), record_bytes_max=500
    )

    own = for_all.within({"founders": None, "banned_keys": frozenset({C}), "banned_labels": ("x",)})

    assert own == WriteRules(banned_keys=frozenset({B, C}), banned_labels=("spam", "x"), record_bytes_max=500)


def test_a_domain_without_rules_of_its_own_has_those_for_all() -> None:
    policy = WritePolicy(WriteRules(record_bytes_max=1), {"example": WriteRules(record_bytes_max=2)})

    assert [policy.rules_of(name).record_bytes_max for name in ("example", "elsewhere")] == [2, 1]
    assert (OPEN.is_open, policy.is_open) == (True, False)


@given(histories())
def test_a_record_founds_exactly_if_replay_says_so(history: list[Record]) -> None:
    state = EMPTY
    for record in sorted(history, key=lambda it: it.order_key):
        founds = is_founding(record, state)
        state, verdict = state.extend(record)

        assert founds is (verdict is Verdict.FOUNDED)


@st.composite
def rules(draw: st.DrawFn) -> WriteRules:
    keys = st.frozensets(st.sampled_from((A, B, C)))
    fields: dict[str, Any] = {
        "founders": draw(st.none() | keys),
        "writers": draw(st.none() | keys),
        "banned_keys": draw(keys),
        "banned_labels": tuple(draw(st.lists(st.sampled_from(("g", "garden", "x")), max_size=2))),
        "record_bytes_max": draw(st.none() | st.integers(1, 2 * SIZE)),
    }
    return WriteRules(**fields)


@given(rules(), rules(), records(), st.booleans())
def test_one_more_ban_never_lets_a_record_in(one: WriteRules, other: WriteRules, record: Record, founds: bool) -> None:
    bans = {"banned_keys": other.banned_keys, "banned_labels": other.banned_labels}

    before, after = (refused_rule(record, it, founds=founds) for it in (one, one.within(bans)))

    assert after is not None or before is None


@given(rules(), records())
def test_who_may_found_may_write(one: WriteRules, record: Record) -> None:
    if refused_rule(record, one, founds=True) is None:
        assert refused_rule(record, one, founds=False) is None


def test_the_longest_label_can_be_banned() -> None:
    label = "g" * LABEL_BYTES_MAX

    assert refused_rule(claim(label), WriteRules(banned_labels=(label,))) == "banned_labels"


def test_an_empty_state_is_founded_by_a_record_without_prev_only() -> None:
    assert is_founding(SMALL, State())
    assert not is_founding(claim("garden", prev="0" * 64), State())
