"""`dnarc peers`, over HTTP or in the store of a node that does not run, and `dnarc sync` between two real nodes."""

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import SupportsIndex

import pytest

from protocol.signing import SigningKey
from tests.node.cli.conftest import TIMEOUT_S, Served, run, start
from tests.node.client.test_http import Reply, serving

NOWHERE = ("--node", "http://127.0.0.1:1")
PEER = "http://127.0.0.1:9"


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Served, Served]]:
    """Two nodes that sync only when they are asked to."""
    nodes = tuple(Served(tmp_path / name, "--sync-interval", "none") for name in ("here", "there"))
    yield nodes[0], nodes[1]
    for node in nodes:
        node.stop()


def test_a_peer_is_added_listed_and_removed(served: Served) -> None:
    data = ("--data", str(served.data))

    added = served.run("peers", "add", PEER, "--push", "--pull", "--no-accept", "--json", *data).json
    listed = served.run("peers", "list", "--json").json
    table = served.run("peers", "list").out
    removed = served.run("peers", "remove", PEER, *data)

    assert (added["url"], added["push"], added["pull"], added["accept"]) == (PEER, True, True, False)
    assert [peer["url"] for peer in listed] == [PEER]
    assert PEER in table
    assert removed.out == f"removed {PEER}\n"
    assert served.run("peers", "list", "--json").json == []


def test_whoever_adds_a_peer_to_push_to_learns_what_the_other_side_has_to_run(served: Served) -> None:
    """A push needs the leave of both sides, and nobody guesses that."""
    data = ("--data", str(served.data))

    pushing = served.run("peers", "add", PEER, "--push", *data)
    pulling = served.run("peers", "add", PEER, "--pull", *data)
    served.run("peers", "remove", PEER, *data)

    key = (served.data / "node.key").read_text().strip()
    assert f"dnarc peers add --key {SigningKey(bytes.fromhex(key)).public} --accept" in pushing.err
    assert pulling.err == ""


def test_changing_peers_needs_the_admin_token(served: Served) -> None:
    refused = served.run("peers", "add", PEER, "--push")
    wrong = served.run("peers", "add", PEER, "--push", "--token", "0" * 64)

    assert (refused.code, wrong.code) == (1, 1)
    assert refused.err.startswith("dnarc: unauthorized: ")
    assert "--data DIR" in refused.err


def test_an_unknown_peer_cannot_be_removed(served: Served) -> None:
    refused = served.run("peers", "remove", PEER, "--data", str(served.data))

    assert (refused.code, refused.err.startswith("dnarc: unknown_peer: ")) == (1, True)


def test_a_peer_has_a_url_or_a_key(served: Served) -> None:
    assert served.run("peers", "add", "--push").code == 2


def test_the_table_is_written_directly_while_no_node_runs(tmp_path: Path) -> None:
    node = Served(tmp_path)
    node.stop()
    data = ("--data", str(node.data))

    added = run("peers", "add", PEER, "--pull", "--json", *data, *NOWHERE)
    listed = run("peers", "list", "--json", *data, *NOWHERE).json
    removed = run("peers", "remove", PEER, "--json", *data, *NOWHERE)
    again = run("peers", "remove", PEER, "--json", *data, *NOWHERE)

    assert "warning: no node answers" in added.err
    assert listed == [added.json] == [{"url": PEER, "push": False, "pull": True, "accept": True, "key": None}]
    assert removed.json == {"url": PEER}
    assert (again.code, again.err.splitlines()[-1].startswith("dnarc: unknown_peer: ")) == (1, True)


def test_a_bad_peer_is_refused_without_a_node_too(tmp_path: Path) -> None:
    node = Served(tmp_path)
    node.stop()

    refused = run("peers", "add", "gopher://127.0.0.1", "--pull", "--data", str(node.data), *NOWHERE)

    assert refused.code == 1
    assert "dnarc: malformed: " in refused.err


def test_a_folder_without_a_store_stays_as_it_is(tmp_path: Path) -> None:
    refused = run("peers", "list", "--data", str(tmp_path), *NOWHERE)

    assert (refused.code, list(tmp_path.iterdir())) == (2, [])


def test_sync_carries_claims_both_ways(two: tuple[Served, Served], keys: tuple[str, str]) -> None:
    here, there = two
    here.run("claim", "example.org", "one", "n=1", "--key", keys[0])
    there.run("claim", "example.org", "two", "n=2", "--key", keys[0])
    here.run("peers", "add", there.url, "--push", "--pull", "--data", str(here.data))

    answer = here.run("sync", "--json").json
    shown = here.run("sync", "pull", "--domain", "example.org", "--peer", there.url).out

    assert {name: report[there.url]["accepted"] for name, report in answer.items()} == {"pull": 1, "push": 1}
    assert here.run("get", "example.org", "--json").json == there.run("get", "example.org", "--json").json
    assert len(here.run("get", "example.org", "--json").json) == 2
    assert there.url in shown


def test_a_sync_with_an_unreachable_peer_fails(served: Served) -> None:
    served.run("peers", "add", PEER, "--pull", "--data", str(served.data))

    done = served.run("sync", "pull", "--peer", PEER, "--json")

    served.run("peers", "remove", PEER, "--data", str(served.data))
    assert done.code == 1
    assert json.loads(done.out)[PEER]["error"]
    assert done.err.startswith(f"dnarc: sync_failed: {PEER}")


def test_a_sync_without_peers_is_no_failure(served: Served) -> None:
    assert served.run("sync", "--json").json == {"pull": {}, "push": {}}


class Stalled(list[Reply]):
    """A script that never comes to its first answer, until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__([(200, {}, b"{}")])
        self.is_asked, self.go_on = threading.Event(), threading.Event()

    def pop(self, index: SupportsIndex = -1) -> Reply:
        self.is_asked.set()
        self.go_on.wait(TIMEOUT_S)
        return super().pop(index)


def test_ctrl_c_in_a_sync_says_that_the_node_goes_on() -> None:
    script = Stalled()

    with serving(script) as url:
        process = start("sync", "--node", url)
        assert script.is_asked.wait(TIMEOUT_S)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT_S)
        script.go_on.set()

    words = "the node itself goes on with the sync (`dnarc peers list` shows the peers)"
    assert (process.returncode, out, err) == (130, "", f"dnarc: interrupted: {words}\n")
