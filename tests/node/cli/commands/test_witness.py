"""A domain with a witness by commands: named, begun, claimed in, and proven offline."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.client.http import NodeClient
from node.witness.newest import path_of
from protocol.signing import SigningKey
from tests.node.cli.conftest import Served, run


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str]]:
    """A node that is the only witness of a domain, and the domain."""
    folder = tmp_path_factory.mktemp("witness")
    first = Served(folder)
    named = first.run("witness", "new", _key(first), "--prefix", "org.example", "--json").json
    begun = run("witness", "begin", named["domain"], "--data", str(first.data))
    first.stop()
    served = Served(folder, "--witness", named["domain"])
    assert begun.code == 0, begun.err
    yield served, named["domain"]
    served.stop()


def _key(served: Served) -> str:
    with NodeClient(served.url) as client:
        return client.get_node().node


def test_a_claim_is_final_and_its_proof_needs_no_node(
    witness: tuple[Served, str], keys: tuple[str, str], tmp_path: Path
) -> None:
    served, domain = witness
    file = str(tmp_path / "garden.proof")

    claimed = served.run("claim", domain, "garden", "gate=green", "--key", keys[0])
    saved = served.run("proof", domain, "garden", file, "--json").json
    verified = run("verify", "--proof", file, "--json").json

    assert claimed.out.rstrip().endswith(", final")
    assert saved["records"] == 3
    assert (verified["domain"], verified["label"], verified["records"]) == (domain, "garden", 1)


def test_a_proof_that_was_changed_proves_nothing(
    witness: tuple[Served, str], keys: tuple[str, str], tmp_path: Path
) -> None:
    served, domain = witness
    served.run("claim", domain, "tower", "n=1", "--key", keys[0])
    proof = served.run("proof", domain, "tower").out
    (tmp_path / "false").write_text(proof.replace('"n":1', '"n":2'))

    verified = run("verify", "--proof", str(tmp_path / "false"))

    assert verified.code == 1
    assert "not signed" in verified.err


def test_why_says_that_the_head_is_final_and_what_would_change_it(
    witness: tuple[Served, str], keys: tuple[str, str]
) -> None:
    served, domain = witness
    served.run("claim", domain, "mill", "n=1", "--key", keys[0])

    why = served.run("why", domain, "mill")
    answer = served.run("why", domain, "mill", "--json").json

    assert "1 of 1 witnesses decided every record" in why.out
    assert "votes for it in round 0, commits it in round 0" in why.out
    assert (answer["certainty"], answer["proven"]) == ("final", 1)


def test_a_key_that_witnesses_already_cannot_begin_again(witness: tuple[Served, str]) -> None:
    served, domain = witness
    before = path_of(served.data, domain).read_bytes()

    again = run("witness", "begin", domain, "--data", str(served.data))

    assert (again.code, path_of(served.data, domain).read_bytes()) == (1, before)


def test_the_witnesses_of_a_domain_are_shown(witness: tuple[Served, str], keys: tuple[str, str]) -> None:
    served, domain = witness
    served.run("claim", domain, "bridge", "n=1", "--key", keys[0])

    report = served.run("witness", "show", domain, "--json").json

    (seen,) = report["witnesses"]
    assert (report["quorum"], report["undecided"], seen["forks"]) == (1, 0, [])
    assert report["own"] == {"silence": None, "open": [], "open_count": 0}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("new", "ab"), "64 lower-case hex digits"),
        (("new", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "--faulty", "1"), "4 witnesses"),
        (("begin", "example.org"), "not the name of a witnessed domain"),
    ],
)
def test_a_policy_that_breaks_a_rule_has_no_domain(arguments: tuple[str, ...], words: str) -> None:
    done = run("witness", *arguments)

    assert done.code == 2
    assert words in done.err


def test_watch_shows_only_final_records_if_asked(witness: tuple[Served, str], keys: tuple[str, str]) -> None:
    served, domain = witness
    for number in ("1", "2"):
        served.run("claim", domain, "quay", f"n={number}", "--key", keys[0])

    shown = served.run("watch", "--final", "--label", "quay", "--since", "0", "--count", "2", "--json")

    events = [json.loads(line) for line in shown.out.splitlines()]
    assert [(event["type"], event["record"]["n"]) for event in events] == [("final", 1), ("final", 2)]


def test_doctor_finds_nothing_wrong_with_a_witness_that_speaks(witness: tuple[Served, str]) -> None:
    served, _ = witness

    found = served.run("doctor", "--data", str(served.data), "--json").json["findings"]

    levels = {finding["check"]: finding["state"] for finding in found if finding["check"].startswith("witness.")}
    assert levels == {f"witness.{name}": "ok" for name in ("speaks", "honest", "heard", "file")}


def test_doctor_seeks_the_file_of_a_witness_in_no_folder_of_another_node(
    witness: tuple[Served, str], tmp_path: Path
) -> None:
    served, _ = witness
    run("backup", str(tmp_path / "other"), "--data", str(served.data))
    (tmp_path / "other" / "node.key").write_text("22" * 32)

    found = served.run("doctor", "--data", str(tmp_path / "other"), "--json").json["findings"]

    states = {finding["check"]: finding["state"] for finding in found}
    assert (states["node"], states.get("witness.file")) == ("warn", None)


def test_claim_doctor_and_top_say_that_a_witness_has_not_begun(
    tmp_path: Path, witness: tuple[Served, str], keys: tuple[str, str]
) -> None:
    _, domain = witness
    served = Served(tmp_path, "--witness", domain)
    try:
        claimed = served.run("claim", domain, "mill", "n=1", "--key", keys[0], "--wait", "0")
        found = json.loads(served.run("doctor", "--data", str(served.data), "--json").out)["findings"]
        top = served.run("top", "--json").json
    finally:
        served.stop()

    assert (claimed.code, claimed.out.startswith("pending: ")) == (0, True)
    assert "`dnarc witness show DOMAIN` says which of them the node hears" in claimed.err
    unwell = {finding["check"] for finding in found if finding["state"] == "fail"}
    assert {"witness.speaks", "witness.file"} <= unwell
    assert top["witnessed"][0]["troubles"] == ["this node is silent: no_policy"]


def test_the_key_of_a_folder_is_shown(witness: tuple[Served, str], tmp_path: Path) -> None:
    served, _ = witness

    shown = run("witness", "key", "--data", str(served.data))
    nowhere = run("witness", "key", "--data", str(tmp_path / "nowhere"))

    assert (shown.out.strip(), nowhere.code) == (_key(served), 2)


def test_the_places_that_wait_for_other_witnesses_are_shown_with_their_rounds(
    tmp_path: Path, keys: tuple[str, str]
) -> None:
    """Two of the three witnesses run nowhere."""
    first = Served(tmp_path)
    others = [SigningKey(bytes([number]) * 32).public for number in (1, 2)]
    domain = first.run("witness", "new", _key(first), *others, "--prefix", "org.example", "--json").json["domain"]
    run("witness", "begin", domain, "--data", str(first.data))
    first.stop()
    served = Served(tmp_path, "--witness", domain)
    try:
        claimed = served.run("claim", domain, "weir", "n=1", "--key", keys[0], "--wait", "0")
        with NodeClient(served.url) as client:
            while not client.get("/witnesses", {"domain": domain})["own"]["open"]:
                pass
        shown = served.run("witness", "show", domain)
    finally:
        served.stop()

    assert claimed.code == 0, claimed.err
    assert "1 open place for this witness" in shown.out
    assert [line.split() for line in shown.out.splitlines() if "weir" in line] == [
        ["weir", "its", "founding", "1", "0"]
    ]
