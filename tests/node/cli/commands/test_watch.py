"""`dnarc watch`: events as they happen, although connections break."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.text import Text

from node.cli.commands.watch import line_of
from node.client.following import NodeEvent
from tests.forked import ForkedProcess
from tests.history import BOB, CAROL, claim, signed
from tests.node.cli.conftest import TIMEOUT_S, Served, run
from tests.node.http_sync.relay import relaying


class Watching:
    """`dnarc watch` as a process, and its output."""

    def __init__(self, url: str, *arguments: str) -> None:
        command = [sys.executable, "-c", "from node.cli import main; main()", "watch", "--node", url, *arguments]
        self.process = ForkedProcess(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._unread = b""

    def event(self) -> Any:
        """The next event. Bytes are read below the buffer of `Popen`, because `select` does not see what lies in it."""
        assert self.process.stdout is not None
        while b"\n" not in self._unread:
            is_ready, _, _ = select.select([self.process.stdout], [], [], TIMEOUT_S)
            read = os.read(self.process.stdout.fileno(), 65_536) if is_ready else b""
            assert read, "an event should have come"
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Its exit code after this signal, and its stderr."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, err


@contextmanager
def watching(url: str, *arguments: str) -> Iterator[Watching]:
    watch = Watching(url, *arguments)
    try:
        yield watch
    finally:
        watch.process.kill()
        watch.process.communicate()


@pytest.fixture
def key(tmp_path: Path) -> str:
    assert run("keygen", str(tmp_path / "key")).code == 0
    return str(tmp_path / "key")


def make(common: Served, key: str, label: str, domain: str = "example.org") -> None:
    assert common.run("claim", domain, label, "n=1", "--key", key).code == 0


def test_stored_events_are_shown_one_per_line(common: Served, key: str) -> None:
    for label in ("one", "two"):
        make(common, key, label, "stored.example")

    shown = common.run("watch", "--since", "0", "--domain", "stored.example", "--count", "2", "--json")

    assert shown.code == 0, shown.err
    events = [json.loads(line) for line in shown.out.splitlines()]
    assert [(event["type"], event["label"]) for event in events] == [("accepted", "one"), ("accepted", "two")]


def test_only_events_of_the_named_domains_and_labels_are_shown(common: Served, key: str) -> None:
    for label in ("one", "two", "three"):
        make(common, key, label, "filtered.example")
    asked = ("--label", "one", "--label", "three", "--domain", "filtered.example", "--since", "0", "--count", "2")

    shown = common.run("watch", *asked)

    assert [json.loads(line)["label"] for line in shown.out.splitlines()] == ["one", "three"]


def test_after_a_break_it_connects_again_with_its_cursor(common: Served, key: str) -> None:
    asked = ("--domain", "broken.example", "--since", "0", "--json")
    make(common, key, "one", "broken.example")
    with relaying(common.url) as relay, watching(relay.url, *asked) as watch:
        first = watch.event()
        relay.cut()
        make(common, key, "two", "broken.example")
        second = watch.event()
        code, err = watch.end(signal.SIGINT)

    assert [first["label"], second["label"]] == ["one", "two"]
    assert (code, "trying again in" in err) == (0, True)


def test_without_reconnecting_it_ends_at_the_first_break(common: Served, key: str) -> None:
    make(common, key, "one", "once.example")
    asked = ("--domain", "once.example", "--since", "0", "--json", "--no-reconnect")
    with relaying(common.url) as relay, watching(relay.url, *asked) as watch:
        watch.event()
        relay.cut()
        _, err = watch.process.communicate(timeout=TIMEOUT_S)

    assert (watch.process.returncode, err.startswith("dnarc: unreachable: ")) == (3, True)


def test_it_connects_again_after_the_node_announced_its_end(tmp_path: Path, key: str) -> None:
    node = Served(tmp_path)
    make(node, key, "one")
    with watching(node.url, "--since", "0", "--json") as watch:
        watch.event()
        node.stop()
        assert watch.process.stderr is not None
        said = watch.process.stderr.readline()
        code, _ = watch.end(signal.SIGINT)

    assert said.startswith("dnarc: warning: the node ended the stream; trying again in ")
    assert code == 0


def test_it_ends_silently_if_its_reader_leaves(common: Served, key: str) -> None:
    make(common, key, "one", "pipe.example")
    reader, writer = os.pipe()
    command = [sys.executable, "-c", "from node.cli import main; main()", "watch", "--node", common.url]
    process = ForkedProcess([*command, "--since", "0"], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    os.close(reader)

    _, err = process.communicate(timeout=TIMEOUT_S)

    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize(
    ("since", "code", "word"), [("nonsense", 1, "malformed"), (f"7-{'0' * 32}", 1, "cursor_unknown")]
)
def test_an_unknown_cursor_is_an_error_and_not_tried_again(common: Served, since: str, code: int, word: str) -> None:
    refused = common.run("watch", "--since", since)

    assert (refused.code, refused.out) == (code, "")
    assert refused.err.startswith(f"dnarc: {word}: ")


def test_without_reconnecting_an_absent_node_is_an_error_at_once() -> None:
    refused = run("watch", "--no-reconnect", "--node", "http://127.0.0.1:9")

    assert (refused.code, refused.out) == (3, "")


def event_of(**fields: Any) -> NodeEvent:
    record = claim("garden", by=BOB, at=1_000_000, newowner=CAROL.public, title="\x1b[31mred")
    base = {"seq": 7, "cursor": "7-a", "type": "accepted", "domain": record.domain, "label": record.label}
    one = signed(record)
    values = {**base, "id": record.id, "signature": one.signature, "record": json.loads(record.canonical), **fields}
    return msgspec.json.decode(json.dumps(values), type=NodeEvent)


def test_a_line_for_people_names_event_label_and_signer() -> None:
    event = event_of()

    shown = line_of(event, event.signed())

    assert isinstance(shown, Text)
    assert shown.plain.split("  ")[:5] == [
        "1970-01-12 13:46:40Z", "accepted", "example", "garden", f"by {BOB.public[:12]}",
    ]  # fmt: skip
    assert f"offered to {CAROL.public[:12]}" in shown.plain
    assert "\x1b" not in shown.plain


def test_a_line_of_a_reversal_names_the_reverted_record_and_the_reason() -> None:
    event = event_of(type="reverted", previous="f" * 64, reason="an older record arrived late")

    shown = line_of(event, event.signed())

    assert f"instead of {'f' * 12}: an older record arrived late" in shown.plain
