"""Questions to a node: people and programs get the same facts, and everything that can be verified is verified."""

import json
from pathlib import Path

import pytest

from node.cli.output.text import moment
from protocol.records.record import make, sign
from protocol.signing import SigningKey
from tests.node.cli.conftest import Served, run


@pytest.fixture(scope="module")
def sold(served: Served, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A label that was founded by one key and sold to another, and the public keys."""
    folder = tmp_path_factory.mktemp("keys")
    public = {name: run("keygen", str(folder / name), "--json").json["public"] for name in ("alice", "bob")}
    for command in (
        ("claim", "example.org", "garden", "title=Garden", "--key", str(folder / "alice")),
        ("transfer", "example.org", "garden", public["bob"], "--key", str(folder / "alice")),
        ("accept", "example.org", "garden", "--key", str(folder / "bob")),
        ("claim", "example.org", "\u202egarden", "title=\x1b[31mred[bold]", "--key", str(folder / "bob")),
    ):
        assert served.run(*command).code == 0
    return public


def test_why_replays_the_label_and_says_why_each_record_won(served: Served, sold: dict[str, str]) -> None:
    answer = served.run("why", "example.org", "garden", "--json").json

    assert (answer["owner"], answer["contested"], answer["differing"]) == (sold["bob"], False, [])
    assert [record["verdict"] for record in answer["records"]] == ["founded", "offered", "transferred"]
    assert [record["after"] for record in answer["records"]] == [None, *(each["id"] for each in answer["records"][:2])]
    assert answer["head"] == answer["records"][-1]["id"]
    assert answer["records"][0]["reason"] == "the first record of the label, so its signer owns it"


def test_why_says_who_lost_a_label_and_why(served: Served, tmp_path: Path) -> None:
    founders = [SigningKey(bytes([number]) * 32) for number in (1, 2)]
    records = [
        sign(make({"domain": "example.com", "label": "one", "signedby": key.public, "timestamp": 1_000 + at}), key)
        for at, key in enumerate(founders)
    ]
    lines = [{"signature": each.signature, "record": json.loads(each.record.canonical)} for each in records]
    (tmp_path / "both").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    served.run("import", str(tmp_path / "both"), "--data", str(served.data))

    answer = served.run("why", "example.com", "one", "--json").json
    shown = served.run("why", "example.com", "one").out

    assert (answer["owner"], answer["contested"]) == (founders[0].public, True)
    assert [record["verdict"] for record in answer["records"]] == ["founded", "rival"]
    assert shown.splitlines()[0] == f"example.com one: owned by {founders[0].public}, contested"
    assert "lost  rival" in shown
    assert "founds the label with another key, but the label was founded before" in shown


def test_why_is_a_tree_for_people(served: Served, sold: dict[str, str]) -> None:
    shown = served.run("why", "example.org", "garden").out

    assert shown.splitlines()[0] == f"example.org garden: owned by {sold['bob']}"
    assert shown.count("won ") == 3
    assert "the first record of the label, so its signer owns it" in shown
    assert "<- head" in shown


def test_history_shows_every_record(served: Served, sold: dict[str, str]) -> None:
    answer = served.run("history", "example.org", "garden", "--json").json
    shown = served.run("history", "example.org", "garden").out

    assert [record["verdict"] for record in answer["records"]] == ["founded", "offered", "transferred"]
    assert answer["owner"] == sold["bob"]
    assert all(record["id"][:12] in shown for record in answer["records"])


def test_get_shows_one_label_or_all(served: Served, sold: dict[str, str]) -> None:
    one = served.run("get", "example.org", "garden", "--json").json
    every = served.run("get", "example.org", "--json").json
    shown = served.run("get", "example.org", "garden").out

    [record] = one.values()
    assert record["signedby"] == sold["bob"]
    assert one.items() <= every.items()
    assert len(every) == 2
    assert sold["bob"] in shown
    assert '"Garden"' in shown


def test_nothing_from_a_claim_steers_the_terminal(served: Served, sold: dict[str, str]) -> None:
    shown = served.run("get", "example.org").out

    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\\u202egarden" in shown
    assert "red[bold]" in shown


def test_domains_are_shown_with_their_number_of_records(served: Served, sold: dict[str, str]) -> None:
    answer = served.run("domains", "--json").json

    assert answer["example.org"]["count"] == 4
    assert "example.org" in served.run("domains").out


UNKNOWN = [
    (("get", "example.org", "absent"), "unknown_label"),
    (("history", "example.org", "absent"), "unknown_label"),
    (("why", "example.org", "absent"), "unknown_label"),
    (("get", "absent.example"), "unknown_domain"),
]


@pytest.mark.parametrize(("command", "code"), UNKNOWN)
def test_an_absent_label_or_domain_is_an_error_of_one_line(
    served: Served, sold: dict[str, str], command: tuple[str, ...], code: str
) -> None:
    refused = served.run(*command, "--json")

    assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert refused.err.startswith(f"dnarc: {code}: ")


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1", "http://"])
def test_a_text_that_is_no_url_is_refused(url: str) -> None:
    refused = run("domains", "--node", url)

    assert (refused.code, refused.err.startswith(f"dnarc: usage: {url} ")) == (2, True)


@pytest.mark.parametrize(
    ("timestamp", "words"), [(0, "1970-01-01 00:00:00Z"), (2**53 - 1, "9007199254740991"), (None, "")]
)
def test_any_timestamp_can_be_shown(timestamp: int | None, words: str) -> None:
    assert moment(timestamp) == words


def test_json_is_one_line(served: Served, sold: dict[str, str]) -> None:
    out = served.run("history", "example.org", "garden", "--json").out

    assert out.count("\n") == 1
    assert json.loads(out)
