"""`dnarc get` against a real node: which labels it shows, and that it shows a long listing while it comes."""

import json
import signal
import subprocess
import sys
import time

import pytest

from node.cli.commands.get import PAGE_HEADS_MAX, ROWS_AT_ONCE
from node.client.http import NodeClient
from tests.history import ALICE, BOB, CAROL, claim, signed
from tests.node.cli.conftest import TIMEOUT_S, Served, start
from tests.node.cli.relay import held

LARGE = 3 * ROWS_AT_ONCE
TEXT_BYTES = 2_000
PASSED_BYTES = 2 * ROWS_AT_ONCE * TEXT_BYTES
"""More than the rows that are laid out together, and less than the listing."""


@pytest.fixture(scope="module")
def filled(served: Served) -> Served:
    """A node with a large domain, and with labels of two owners in two small domains."""
    now = int(time.time())
    claims = [
        claim(f"label-{number:04}", domain="large.example", at=now, text="x" * TEXT_BYTES) for number in range(LARGE)
    ]
    claims += [claim(label, domain="one.example", by=ALICE, at=now) for label in ("apple", "apricot", "pear")]
    claims += [
        claim(label, domain=f"{name}.example", by=BOB, at=now) for label, name in (("banana", "one"), ("plum", "two"))
    ]
    entries = ",".join(f'"{each.signature}":{each.record.canonical.decode()}' for each in map(signed, claims))
    with NodeClient(served.url) as client:
        client.ask("PUT", "/claims", body=f"{{{entries}}}".encode()).check()
    return served


def labels(out: str) -> list[str]:
    """The labels in the JSON that a command shows, in their order."""
    return [record["label"] for record in json.loads(out).values()]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("one.example", ["apple", "apricot", "banana", "pear"]),
        ("one.example --prefix ap", ["apple", "apricot"]),
        ("one.example --prefix apple", ["apple"]),
        ("one.example --prefix x", []),
        ("one.example --limit 3", ["apple", "apricot", "banana"]),
        ("one.example --prefix ap --limit 1", ["apple"]),
        (f"one.example --limit {PAGE_HEADS_MAX + 1}", ["apple", "apricot", "banana", "pear"]),
        (f"one.example --signedby {BOB.public}", ["banana"]),
        (f"one.example --signedby {ALICE.public} --limit 1", ["apple"]),
        (f"--signedby {BOB.public}", ["banana", "plum"]),
        (f"--signedby {BOB.public} --limit 1", ["banana"]),
        (f"--signedby {CAROL.public}", []),
    ],
)
def test_labels_are_chosen_by_domain_prefix_owner_and_number(filled: Served, flags: str, expected: list[str]) -> None:
    listed = filled.run("get", *flags.split(), "--json")

    assert (listed.code, labels(listed.out), listed.err) == (0, expected, "")


def test_the_labels_of_a_key_are_shown_with_their_domains(filled: Served) -> None:
    shown = filled.run("get", "--signedby", BOB.public).out.splitlines()

    assert shown[0].split() == ["domain", "label", "owner", "written", "claim"]
    assert [line.split()[:3] for line in shown[2:]] == [
        ["one.example", "banana", BOB.public[:12]],
        ["two.example", "plum", BOB.public[:12]],
    ]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("", "name a DOMAIN, or a key by --signedby"),
        ("--prefix a", "name a DOMAIN, or a key by --signedby"),
        (f"one.example --prefix a --signedby {BOB.public}", "--prefix and --signedby exclude each other"),
        ("one.example apple --limit 1", "leave LABEL out"),
        ("one.example apple --prefix a", "leave LABEL out"),
        ("one.example --signedby bob", "bob is not a public key: 64 lower-case hex digits"),
        ("one.example --limit 0", "should be greater than or equal to 1"),
    ],
)
def test_arguments_that_do_not_go_together_are_a_wrong_use(filled: Served, flags: str, words: str) -> None:
    refused = filled.run("get", *flags.split())

    assert (refused.code, refused.out) == (2, "")
    assert words in " ".join(refused.err.replace("│", " ").split())


@pytest.mark.parametrize("form", ["--json", ""])
def test_the_first_line_is_shown_while_the_node_holds_the_last(filled: Served, form: str) -> None:
    with held(filled.url, PASSED_BYTES) as relay:
        process = start("get", "large.example", "--node", relay.url, *form.split())
        assert process.stdout is not None
        first = process.stdout.readline()
        is_held = not relay.go_on.is_set()
        relay.go_on.set()
        rest, err = process.communicate(timeout=TIMEOUT_S)

    assert (is_held, process.returncode, err) == (True, 0, "")
    assert ("label" in first, f"label-{LARGE - 1:04}" in rest) == (True, True)


@pytest.mark.parametrize("form", ["--json", ""])
def test_a_reader_that_has_enough_ends_the_command_without_a_failure(filled: Served, form: str) -> None:
    dnarc = f"{sys.executable} -c 'from node.cli import main; main()'"
    program = f"set -o pipefail; {dnarc} get large.example {form} --node {filled.url} | head -n 1"

    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)

    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)


def test_ctrl_c_ends_a_listing_with_its_own_code_and_no_traceback(filled: Served) -> None:
    with held(filled.url, PASSED_BYTES) as relay:
        process = start("get", "large.example", "--json", "--node", relay.url)
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT_S)

    assert (process.returncode, err) == (130, "")
