"""The content of a claim: how arguments are read, how a merge applies, and which changes are found."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.cli.input.content import FieldChange, find_changes, merge, parse_pairs, parse_value, read_object
from node.cli.output.failures import CommandError, Exit
from protocol.errors import Code, ProtocolError

VALUES: list[tuple[str, Any]] = [
    ("42", 42),
    ("-1.5", -1.5),
    ("true", True),
    ("null", None),
    ('{"a":[1,2]}', {"a": [1, 2]}),
    ("[]", []),
    ('"42"', "42"),
    ("text", "text"),
    ("", ""),
    ("a=b", "a=b"),
    ("NaN", "NaN"),
    ("-Infinity", "-Infinity"),
    ("1 2", "1 2"),
    ("0x10", "0x10"),
    ("[" * 100_000, "[" * 100_000),
]


@pytest.mark.parametrize(("text", "value"), VALUES, ids=[text[:10] for text, _ in VALUES])
def test_a_value_is_json_where_it_reads_as_json(text: str, value: object) -> None:
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


@pytest.mark.parametrize(
    ("pair", "is_told"), [("tags=[a,b]", True), ("tags={a", True), ("tags=[1]", False), ("tags=a", False)]
)
def test_a_value_that_begins_as_json_and_is_none_is_told(
    pair: str, is_told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shell takes quotes away: `tags=["a"]` arrives as `tags=[a]`."""
    parse_pairs([pair])

    assert ("tags is claimed as text" in capsys.readouterr().err) is is_told


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_text("{bad")

    with pytest.raises(CommandError) as refused:
        read_object(str(file))

    assert (refused.value.exit_code, refused.value.detail.startswith(f"{file} holds no JSON")) == (Exit.USAGE, True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a":1,"a":2}', "the key 'a' is repeated"),
        ("[" * 900 + "]" * 900, "nested deeper than 32 levels"),
        ('{"a":' * 900 + "1" + "}" * 900, "nested deeper than 32 levels"),
        ("9007199254740992", "beyond 2^53-1"),
        ("1e400", "beyond what a double holds"),
        ('["\udc80"]', "not UTF-8"),
    ],
)
def test_json_that_no_record_may_hold_is_refused(text: str, words: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        parse_value(text)

    assert (refused.value.code, words in refused.value.detail) == (Code.MALFORMED, True)


WRONG_PAIRS = [
    (["title"], "'title' is no KEY=VALUE"),
    (["=1"], "'=1' is no KEY=VALUE"),
    (["a=1", "a=2"], "the key 'a' is there twice"),
    (["timestamp=1"], "'timestamp' is set by dnarc itself"),
    (["newowner=x"], "'newowner' is set by dnarc itself"),
]


@pytest.mark.parametrize(("pairs", "words"), WRONG_PAIRS)
def test_a_pair_that_is_none_is_refused(pairs: list[str], words: str) -> None:
    with pytest.raises(CommandError) as refused:
        parse_pairs(pairs)

    assert (refused.value.detail, refused.value.exit_code) == (words, 2)


# The cases of RFC 7396, appendix A, in which both sides are objects.
MERGES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ({"a": "text"}, {"a": {"b": 1}}, {"a": {"b": 1}}),
]


@pytest.mark.parametrize(("before", "patch", "after"), MERGES)
def test_a_merge_follows_rfc_7396(before: dict[str, Any], patch: dict[str, Any], after: dict[str, Any]) -> None:
    untouched = repr(before)

    assert merge(before, patch) == after
    assert repr(before) == untouched


CHANGES: list[tuple[dict[str, Any], dict[str, Any], list[FieldChange]]] = [
    ({"a": 1}, {"a": 1.0}, []),
    ({"a": 1}, {"a": True}, [FieldChange("/a", 1, True)]),
    ({"a": None}, {}, [FieldChange("/a", before=None)]),
    ({}, {"a": None}, [FieldChange("/a", after=None)]),
    ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}}, [FieldChange("/a/b", 1, 3)]),
    ({"a": [1, 2]}, {"a": [2, 1]}, [FieldChange("/a", [1, 2], [2, 1])]),
    ({"a/b": {"~": 1}}, {"a/b": {}}, [FieldChange("/a~1b/~0", before=1)]),
    ({"b": 1, "a": 1}, {"a": 2, "b": 2}, [FieldChange("/a", 1, 2), FieldChange("/b", 1, 2)]),
]


@pytest.mark.parametrize(("before", "after", "changes"), CHANGES)
def test_changes_are_found_field_by_field(
    before: dict[str, Any], after: dict[str, Any], changes: list[FieldChange]
) -> None:
    assert list(find_changes(before, after)) == changes


OBJECTS = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("ab", max_size=2), OBJECTS, max_size=3))
def test_a_claim_does_not_differ_from_itself(claim: dict[str, Any]) -> None:
    assert list(find_changes(claim, claim)) == []
