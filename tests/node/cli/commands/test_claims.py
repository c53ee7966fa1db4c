"""Claims by command: what is signed follows the head, and what is not right is said before or by the node."""

import json
from pathlib import Path
from typing import Any

import pytest

from node.cli.commands.claims import follow, parse_pairs, parse_value
from node.cli.output.failures import CommandError
from node.client.keyfile import public_key
from protocol.records.record import SignedRecord
from protocol.signing import SigningKey
from tests.node.cli.conftest import Served, run, run_apart

ALICE = SigningKey(bytes(32))
PLACE = {"domain": "example.org", "label": "garden"}


def head_of(served: Served, label: str) -> dict[str, Any]:
    [record] = served.run("get", "example.org", label, "--json").json.values()
    assert isinstance(record, dict)
    return record


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


def test_the_first_record_of_a_label_names_no_other() -> None:
    signed = follow(None, ALICE, {**PLACE, "n": 1}, now=1_000)

    assert (signed.record.timestamp, signed.record.prev) == (1_000, None)
    assert signed.is_genuine()


@pytest.mark.parametrize(("now", "timestamp"), [(999, 1_001), (1_000, 1_001), (1_001, 1_001), (2_000, 2_000)])
def test_what_follows_names_the_head_and_is_newer_even_where_the_clock_is_behind(now: int, timestamp: int) -> None:
    head: SignedRecord = follow(None, ALICE, PLACE, now=1_000)

    signed = follow(head, ALICE, {**PLACE, "n": 2}, now=now)

    assert (signed.record.timestamp, signed.record.prev) == (timestamp, head.record.id)


def test_a_label_is_founded_updated_and_shown(served: Served, keys: tuple[str, str]) -> None:
    alice, _ = keys

    founded = served.run("claim", "example.org", "founded", "title=Hello world", "n=42", "--key", alice)
    updated = served.run("claim", "example.org", "founded", "title=Again", "--key", alice)

    assert founded.out.startswith("founded: example.org founded, record ")
    assert updated.out.startswith("updated: example.org founded, record ")
    record = head_of(served, "founded")
    assert (record["title"], record["signedby"]) == ("Again", public_key(Path(alice)))
    assert record["prev"] in founded.out


def test_json_stands_before_a_claim_or_after_other_commands(served: Served, keys: tuple[str, str]) -> None:
    answer = served.run("--json", "claim", "example.org", "json", "n=1", "--key", keys[0]).json

    [outcome] = answer.values()
    assert (outcome["status"], outcome["verdict"]) == ("accepted", "founded")
    assert (
        served.run("--json", "get", "example.org", "json").json
        == served.run("get", "example.org", "json", "--json").json
    )


def test_a_claim_may_come_from_a_file(served: Served, keys: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "claim.json").write_text(json.dumps({"title": "Grün", "tags": ["a", "b"], "x": 1.5}))

    done = served.run("claim", "example.org", "file", "--json", str(tmp_path / "claim.json"), "--key", keys[0])

    assert done.code == 0, done.err
    record = head_of(served, "file")
    assert (record["title"], record["tags"], record["x"]) == ("Grün", ["a", "b"], 1.5)


def test_a_claim_may_come_from_stdin(served: Served, keys: tuple[str, str]) -> None:
    arguments = ("claim", "example.org", "stdin", "--json", "-", "--key", keys[0], "--node", served.url)

    done = run_apart(*arguments, given='{"n": 7}')

    assert done.code == 0, done.err
    assert head_of(served, "stdin")["n"] == 7


WRONG_FILES = [
    ("[]", "holds no JSON object", 2),
    ("{", "malformed: not JSON", 1),
    ('{"a":1,"a":2}', "malformed: the key 'a' is repeated", 1),
    ('{"signedby":"x"}', "'signedby' is set by dnarc itself", 2),
]


@pytest.mark.parametrize(("text", "words", "code"), WRONG_FILES)
def test_a_file_that_holds_no_claim_is_refused(
    served: Served, keys: tuple[str, str], tmp_path: Path, text: str, words: str, code: int
) -> None:
    (tmp_path / "claim.json").write_text(text)

    done = served.run("claim", "example.org", "wrong", "--json", str(tmp_path / "claim.json"), "--key", keys[0])

    assert done.code == code
    assert words in done.err


def test_pairs_and_a_file_are_not_given_together(served: Served, keys: tuple[str, str]) -> None:
    both = served.run("claim", "example.org", "both", "a=1", "--json", "-", "--key", keys[0])
    neither = served.run("claim", "example.org", "both", "--key", keys[0])

    assert (both.code, neither.code) == (2, 2)
    assert both.err == neither.err == "dnarc: usage: a claim is either KEY=VALUE pairs or --json FILE\n"


def test_another_key_is_refused_with_the_code_and_the_remedy(served: Served, keys: tuple[str, str]) -> None:
    alice, bob = keys
    served.run("claim", "example.org", "rival", "n=1", "--key", alice)

    refused = served.run("claim", "example.org", "rival", "n=2", "--key", bob)

    assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert refused.err.startswith(f"dnarc: not_owner: the label is {public_key(Path(alice))}'s")
    assert "`dnarc why`" in refused.err


def test_a_refusal_is_also_plain_json_for_who_asks_for_it(served: Served, keys: tuple[str, str]) -> None:
    served.run("claim", "example.org", "refused", "n=1", "--key", keys[0])

    refused = served.run("--json", "claim", "example.org", "refused", "n=2", "--key", keys[1])

    [outcome] = json.loads(refused.out).values()
    assert (refused.code, outcome["status"], outcome["code"]) == (1, "refused", "not_owner")


def test_a_label_changes_hands_with_its_claim(served: Served, keys: tuple[str, str]) -> None:
    alice, bob = keys
    bobs_key = public_key(Path(bob))
    served.run("claim", "example.org", "sold", "title=Garden", "--key", alice)

    offered = served.run("transfer", "example.org", "sold", bobs_key, "--key", alice)
    still = head_of(served, "sold")
    accepted = served.run("accept", "example.org", "sold", "--key", bob)
    record = head_of(served, "sold")

    assert (offered.out.split(":")[0], accepted.out.split(":")[0]) == ("offered", "transferred")
    assert (still["signedby"], still["newowner"], still["title"]) == (public_key(Path(alice)), bobs_key, "Garden")
    assert (record["signedby"], record["title"], "newowner" in record) == (bobs_key, "Garden", False)


def test_what_is_not_offered_cannot_be_accepted(served: Served, keys: tuple[str, str]) -> None:
    alice, bob = keys
    served.run("claim", "example.org", "kept", "n=1", "--key", alice)

    refused = served.run("accept", "example.org", "kept", "--key", bob)

    assert refused.code == 1
    assert "not_owner: kept is not offered to this key" in refused.err


@pytest.mark.parametrize(
    "command", [("transfer", "example.org", "absent", "0" * 64), ("accept", "example.org", "absent")]
)
def test_what_is_not_there_changes_no_hands(served: Served, keys: tuple[str, str], command: tuple[str, ...]) -> None:
    refused = served.run(*command, "--key", keys[0])

    assert refused.code == 1
    assert refused.err.startswith("dnarc: unknown_label: example.org has no label absent")


def test_a_new_owner_is_a_public_key(served: Served, keys: tuple[str, str]) -> None:
    refused = served.run("transfer", "example.org", "sold", "bob", "--key", keys[0])

    assert (refused.code, refused.err.startswith("dnarc: usage: bob is no public key")) == (2, True)


def test_a_label_that_looks_like_another_is_warned_of(served: Served, keys: tuple[str, str]) -> None:
    composed = served.run("claim", "example.org", "caf\u00e9", "n=1", "--key", keys[0])
    decomposed = served.run("claim", "example.org", "cafe\u0301", "n=1", "--key", keys[0])

    assert (composed.err, decomposed.code) == ("", 0)
    assert "is not in Unicode's form NFC" in decomposed.err


@pytest.mark.parametrize("label", [".", "..", "a/b", "/", "../x", "\\", "a b", "?", "#", "%2F", "grün", "..."])
def test_a_label_may_hold_what_urls_do_not(served: Served, keys: tuple[str, str], label: str) -> None:
    done = served.run("claim", "example.org", label, f"name={json.dumps(label)}", "--key", keys[0])

    assert done.code == 0, done.err
    assert head_of(served, label)["name"] == label
    assert [served.run(name, "example.org", label).code for name in ("history", "why")] == [0, 0]


def test_a_sealed_key_signs_with_its_passphrase(served: Served, tmp_path: Path) -> None:
    file = str(tmp_path / "sealed.key")
    made = run_apart("keygen", file, "--passphrase", "--json", DNARC_PASSPHRASE="words")
    arguments = ("claim", "example.org", "sealed", "n=1", "--key", file, "--node", served.url)

    opened = run_apart(*arguments, DNARC_PASSPHRASE="words")
    closed = run_apart(*arguments)

    assert made.json["sealed"] is True
    assert opened.out.startswith("founded")
    assert closed.code == 2
    assert "is sealed, and there is no passphrase: set DNARC_PASSPHRASE" in closed.err


def test_a_key_that_others_may_read_is_warned_of(served: Served, keys: tuple[str, str]) -> None:
    Path(keys[0]).chmod(0o644)

    done = served.run("claim", "example.org", "exposed", "n=1", "--key", keys[0])

    assert done.code == 0
    assert "warning: others on this machine may read" in done.err


def test_a_node_that_does_not_answer_is_said(keys: tuple[str, str]) -> None:
    refused = run("claim", "example.org", "garden", "n=1", "--key", keys[0], "--node", "http://127.0.0.1:1")

    assert (refused.code, refused.out) == (3, "")
    assert refused.err.startswith("dnarc: unreachable: no node answers at http://127.0.0.1:1")
    assert "`dnarc serve`" in refused.err


def test_a_key_is_not_made_twice(keys: tuple[str, str]) -> None:
    refused = run("keygen", keys[0])

    assert (refused.code, refused.out) == (2, "")
    assert "a key is never overwritten" in refused.err
