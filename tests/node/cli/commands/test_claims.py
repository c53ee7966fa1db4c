"""Claims by command: they follow the head, say what they change, publish no secret, and wait if they are too early."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.client import keyfile
from node.client.keyfile import public_key
from tests.node.cli.conftest import Result, Served, run, run_apart
from tests.node.client.test_keyfile import CHEAP


def head_of(served: Served, label: str) -> dict[str, Any]:
    [record] = served.run("get", "example.org", label, "--json").json.values()
    assert isinstance(record, dict)
    return record


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
    ("[]", "holds no JSON object"),
    ("{", "holds no JSON that a record may hold: not JSON"),
    ('{"a":1,"a":2}', "holds no JSON that a record may hold: the key 'a' is repeated"),
    ('{"signedby":"x"}', "'signedby' is set by dnarc itself"),
]


@pytest.mark.parametrize(("text", "words"), WRONG_FILES)
def test_a_file_that_holds_no_claim_is_refused(
    served: Served, keys: tuple[str, str], tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "claim.json").write_text(text)

    done = served.run("claim", "example.org", "wrong", "--json", str(tmp_path / "claim.json"), "--key", keys[0])

    assert done.code == 2
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


def test_a_refusal_is_plain_json_for_those_who_ask_for_json(served: Served, keys: tuple[str, str]) -> None:
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


def test_a_label_that_is_not_offered_cannot_be_accepted(served: Served, keys: tuple[str, str]) -> None:
    alice, bob = keys
    served.run("claim", "example.org", "kept", "n=1", "--key", alice)

    refused = served.run("accept", "example.org", "kept", "--key", bob)

    assert refused.code == 1
    assert "not_owner: kept is not offered to this key" in refused.err


@pytest.mark.parametrize(
    "command", [("transfer", "example.org", "absent", "0" * 64), ("accept", "example.org", "absent")]
)
def test_an_absent_label_can_be_neither_offered_nor_accepted(
    served: Served, keys: tuple[str, str], command: tuple[str, ...]
) -> None:
    refused = served.run(*command, "--key", keys[0])

    assert refused.code == 1
    assert refused.err.startswith("dnarc: unknown_label: example.org has no label absent")


def test_a_new_owner_is_a_public_key(served: Served, keys: tuple[str, str]) -> None:
    refused = served.run("transfer", "example.org", "sold", "bob", "--key", keys[0])

    assert (refused.code, refused.err.startswith("dnarc: usage: bob is no public key")) == (2, True)


def test_a_label_that_looks_like_another_gets_a_warning(served: Served, keys: tuple[str, str]) -> None:
    composed = served.run("claim", "example.org", "caf\u00e9", "n=1", "--key", keys[0])
    decomposed = served.run("claim", "example.org", "cafe\u0301", "n=1", "--key", keys[0])

    assert (composed.err, decomposed.code) == ("", 0)
    assert "is not in Unicode's form NFC" in decomposed.err


@pytest.mark.parametrize("label", [".", "..", "a/b", "/", "../x", "\\", "a b", "?", "#", "%2F", "grün", "..."])
def test_a_label_may_hold_characters_that_urls_change(served: Served, keys: tuple[str, str], label: str) -> None:
    done = served.run("claim", "example.org", label, f"name={json.dumps(label)}", "--key", keys[0])

    assert done.code == 0, done.err
    assert head_of(served, label)["name"] == label
    assert [served.run(name, "example.org", label).code for name in ("history", "why")] == [0, 0]


def test_a_node_that_does_not_answer_is_told(keys: tuple[str, str]) -> None:
    refused = run("claim", "example.org", "garden", "n=1", "--key", keys[0], "--node", "http://127.0.0.1:1")

    assert (refused.code, refused.out) == (3, "")
    assert refused.err.startswith("dnarc: unreachable: no node answers at http://127.0.0.1:1")
    assert "`dnarc serve`" in refused.err


def prepare(served: Served, label: str, key: str, *pairs: str) -> None:
    assert served.run("claim", "example.org", label, *pairs, "--key", key).code == 0


def claim_at(served: Served, label: str) -> dict[str, Any]:
    """The claim in the head: its record without the fields of the protocol."""
    own = ("domain", "label", "signedby", "timestamp", "prev")
    return {name: value for name, value in head_of(served, label).items() if name not in own}


def test_a_new_claim_replaces_the_whole_claim_and_says_what_changed(served: Served, keys: tuple[str, str]) -> None:
    prepare(served, "replaced", keys[0], "keeper=Alice", "lamps=3", 'place={"x":1,"y":2}')

    done = served.run("claim", "example.org", "replaced", "lamps=4", 'place={"x":1}', "open=true", "--key", keys[0])

    assert done.out.startswith("updated: example.org replaced, record ")
    assert done.err.splitlines() == [
        'dnarc: removed keeper, which was "Alice"',
        "dnarc: changed lamps: 3 -> 4",
        "dnarc: added open: true",
        "dnarc: removed place.y, which was 2",
        "dnarc: warning: fields that the new claim does not name are removed; --merge keeps them",
    ]
    assert claim_at(served, "replaced") == {"lamps": 4, "place": {"x": 1}, "open": True}


def test_a_merge_keeps_what_is_not_named(served: Served, keys: tuple[str, str]) -> None:
    prepare(served, "merged", keys[0], "keeper=Alice", "lamps=3", "old=1.5", 'place={"x":1,"y":2}', "big=1e21")
    named = ("lamps=4", "old=null", 'place={"y":null,"z":[1]}', "keeper=")

    done = served.run("claim", "example.org", "merged", *named, "--merge", "--key", keys[0])

    assert done.code == 0
    assert "dnarc: removed old, which was 1.5" in done.err.splitlines()
    assert "warning" not in done.err
    assert claim_at(served, "merged") == {"keeper": "", "lamps": 4, "place": {"x": 1, "z": [1]}, "big": 1e21}


def test_a_merge_may_come_from_a_file_and_may_found_a_label(
    served: Served, keys: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "patch.json").write_text('{"a": {"b": 1, "c": null}, "d": null}')
    arguments = ("--merge", "--json", str(tmp_path / "patch.json"), "--key", keys[0])

    done = served.run("claim", "example.org", "merged-from-nothing", *arguments)

    assert done.out.startswith("founded: ")
    assert claim_at(served, "merged-from-nothing") == {"a": {"b": 1}}


def test_json_tells_the_changes_beside_the_outcome(served: Served, keys: tuple[str, str]) -> None:
    claim = ("--json", "claim", "example.org", "changes")
    founded = served.run(*claim, "keeper=Alice", "lamps=3", "--key", keys[0])

    updated = served.run(*claim, "lamps=4", "--key", keys[0])

    [first], [second] = founded.json.values(), updated.json.values()
    assert "changes" not in first
    assert second["changes"] == [{"path": "/keeper", "before": "Alice"}, {"path": "/lamps", "before": 3, "after": 4}]
    assert (updated.err, second["status"], second["verdict"]) == ("", "accepted", "updated")


def test_a_claim_that_changes_nothing_says_so(served: Served, keys: tuple[str, str]) -> None:
    prepare(served, "same", keys[0], "n=1")

    done = served.run("claim", "example.org", "same", "n=1.0", "--key", keys[0])

    assert done.err == "dnarc: nothing changed: the claim says what it said before\n"


def test_many_changes_and_long_values_are_cut_for_people(served: Served, keys: tuple[str, str]) -> None:
    prepare(served, "many", keys[0], *(f"n{number:02}={'x' * 100}" for number in range(25)))

    done = served.run("claim", "example.org", "many", *(f"n{number:02}=1" for number in range(25)), "--key", keys[0])

    lines = done.err.splitlines()
    assert lines[0] == f'dnarc: changed n00: "{"x" * 59}... -> 1'
    assert lines[20:] == ["dnarc: and 5 further changes"]


def test_a_claim_that_withdraws_an_offer_says_so_and_a_merge_keeps_it(served: Served, keys: tuple[str, str]) -> None:
    alice, bob = keys
    bobs_key = public_key(Path(bob))
    prepare(served, "offered", alice, "n=1")
    served.run("transfer", "example.org", "offered", bobs_key, "--key", alice)

    kept = served.run("claim", "example.org", "offered", "n=2", "--merge", "--key", alice)
    still = head_of(served, "offered").get("newowner")
    withdrawn = served.run("claim", "example.org", "offered", "n=2", "--key", alice)

    assert (kept.err, still) == ("dnarc: changed n: 1 -> 2\n", bobs_key)
    assert withdrawn.err == f"dnarc: warning: the offer to {bobs_key} is withdrawn; --merge keeps an offer\n"


def test_an_offer_to_the_own_key_withdraws_the_offer_before(served: Served, keys: tuple[str, str]) -> None:
    alice, bob = keys
    prepare(served, "withdrawn", alice, "n=1")
    served.run("transfer", "example.org", "withdrawn", public_key(Path(bob)), "--key", alice)

    served.run("transfer", "example.org", "withdrawn", public_key(Path(alice)), "--key", alice)
    refused = served.run("accept", "example.org", "withdrawn", "--key", bob)

    assert (refused.code, "not_owner" in refused.err) == (1, True)
    assert claim_at(served, "withdrawn") == {"n": 1, "newowner": public_key(Path(alice))}


def test_a_label_may_be_accepted_by_a_merge(served: Served, keys: tuple[str, str]) -> None:
    alice, bob = keys
    prepare(served, "taken", alice, "keeper=Alice", "lamps=3")
    served.run("transfer", "example.org", "taken", public_key(Path(bob)), "--key", alice)

    done = served.run("claim", "example.org", "taken", "keeper=Bob", "--merge", "--key", bob)

    assert done.out.startswith("transferred: ")
    assert done.err == 'dnarc: changed keeper: "Alice" -> "Bob"\n'
    assert claim_at(served, "taken") == {"keeper": "Bob", "lamps": 3}


def seed_in(file: str) -> str:
    return str(json.loads(Path(file).read_text())["seed"])


def test_a_key_file_is_not_published(served: Served, keys: tuple[str, str]) -> None:
    """Neither the key that signs, nor another."""
    refused = [served.run("claim", "example.org", "leak", "--json", file, "--key", keys[0]) for file in keys]

    assert [(each.code, each.out) for each in refused] == [(2, ""), (2, "")]
    assert refused[0].err.startswith("dnarc: secret: nothing was sent, because the record holds a secret: ")
    assert [seed_in(file) in each.err for file, each in zip(keys, refused, strict=True)] == [False, False]
    assert served.run("get", "example.org", "leak").code == 1


def test_no_argument_publishes_a_secret(served: Served, keys: tuple[str, str]) -> None:
    seed, text = seed_in(keys[0]), Path(keys[0]).read_text()
    node_seed = (served.data / "node.key").read_text().strip()
    claims = [
        ("example.org", "leak", f"note={seed}"),
        ("example.org", "leak", f"note=see: {text}"),
        ("example.org", "leak", f"{seed}=1"),
        ("example.org", seed, "n=1"),
        (seed, "leak", "n=1"),
        ("example.org", "leak", f"note={node_seed}"),
    ]

    refused = [served.run("claim", *claim, "--key", keys[0]) for claim in claims]
    prepare(served, "leak-offer", keys[0], "n=1")
    offered = served.run("transfer", "example.org", "leak-offer", seed, "--key", keys[0])
    pasted = served.run("transfer", "example.org", "leak-offer", text, "--key", keys[0])

    assert [each.code for each in [*refused, offered, pasted]] == [2] * 8
    assert [each.err for each in [*refused, offered] if not each.err.startswith("dnarc: secret: ")] == []
    assert [each.err for each in [*refused, offered, pasted] if seed in each.err or node_seed in each.err] == []


def test_a_sealed_key_file_and_the_admin_token_are_not_published(served: Served, tmp_path: Path) -> None:
    file = str(tmp_path / "sealed.key")
    token = (served.data / "admin-token").read_text().strip()
    variables = {"DNARC_PASSPHRASE": "some random words", "DNARC_ADMIN_TOKEN": token}
    keyfile.create(Path(file), variables["DNARC_PASSPHRASE"], CHEAP)
    box = json.loads(Path(file).read_text())["sealed"]["box"]
    claim = ("claim", "example.org", "leak", "--key", file, "--node", served.url)

    refused = [run(*claim, *last, **variables) for last in (("--json", file), (f"n={box}",), (f"n={token}",))]

    assert [(each.code, each.err[:15]) for each in refused] == [(2, "dnarc: secret: ")] * 3


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Served]:
    """A node that takes no record ahead of its clock."""
    node = Served(tmp_path / "strict", "--max-skew", "0")
    yield node
    node.stop()


BURST = 60
"""Updates at most. A slow machine needs more of them until two fall into one second."""


def test_a_burst_of_updates_waits_for_the_clock_of_the_node(strict: Served, keys: tuple[str, str]) -> None:
    """Each record is a whole second newer than the one before, so a quick owner runs ahead of the clock."""
    claim = ("claim", "example.org", "burst")
    numbers = iter(range(BURST))

    def update(*wait: str) -> Result:
        return strict.run(*claim, f"n={next(numbers)}", *wait, "--key", keys[0])

    waited = next(done for _ in range(BURST) if "1 s too new" in (done := update()).err)
    refused = next(done for _ in range(BURST) if (done := update("--wait", "0")).code != 0)

    assert waited.code == 0
    assert "warning: the record is 1 s too new for the node" in waited.err
    assert refused.code == 1
    assert "dnarc: too_new: 1 s ahead of this node's clock, 0 s at most" in refused.err
    assert "because its owner wrote more than one record a second" in refused.err
