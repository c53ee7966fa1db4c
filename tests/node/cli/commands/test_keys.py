"""Keys by command: made once, sealed properly, and never shown."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.node.cli.conftest import TIMEOUT_S, Served, run, run_apart, start


def test_a_sealed_key_signs_with_its_passphrase(common: Served, tmp_path: Path) -> None:
    file = str(tmp_path / "sealed.key")
    made = run("keygen", file, "--passphrase", "--json", DNARC_PASSPHRASE="words")
    arguments = ("claim", "example.org", "sealed", "n=1", "--key", file, "--node", common.url)

    opened = run(*arguments, DNARC_PASSPHRASE="words")
    closed = run(*arguments)

    assert made.json["sealed"] is True
    assert opened.out.startswith("founded")
    assert closed.code == 2
    assert "is sealed, and there is no passphrase: set DNARC_PASSPHRASE" in closed.err


def test_a_key_file_that_others_may_read_gets_a_warning(common: Served, keys: tuple[str, str]) -> None:
    Path(keys[0]).chmod(0o644)

    done = common.run("claim", "example.org", "exposed", "n=1", "--key", keys[0])

    assert done.code == 0
    assert "warning: others on this machine may read" in done.err


def test_a_key_is_not_made_twice(keys: tuple[str, str]) -> None:
    refused = run("keygen", keys[0])

    assert (refused.code, refused.out) == (2, "")
    assert "a key is never overwritten" in refused.err


@pytest.mark.parametrize("words", ["", " ", "\n"])
def test_an_empty_passphrase_is_refused(tmp_path: Path, words: str) -> None:
    refused = run("keygen", str(tmp_path / "a.key"), "--passphrase", DNARC_PASSPHRASE=words)

    assert (refused.code, refused.out, list(tmp_path.iterdir())) == (2, "", [])
    assert "an empty passphrase protects nothing: choose a few random words" in refused.err


WEAK = [("short", "a passphrase of 5 characters is soon guessed"), (" padded words", "begins or ends with white space")]


@pytest.mark.parametrize(("words", "warning"), WEAK)
def test_a_weak_passphrase_gets_a_warning(tmp_path: Path, words: str, warning: str) -> None:
    done = run("keygen", str(tmp_path / "a.key"), "--passphrase", DNARC_PASSPHRASE=words)

    assert done.code == 0
    assert done.err.startswith("dnarc: warning: ")
    assert warning in done.err


def test_without_a_terminal_a_passphrase_comes_from_the_environment_only(tmp_path: Path) -> None:
    """A script must not seal a key under whatever stands next on its stdin."""
    refused = run_apart("keygen", str(tmp_path / "a.key"), "--passphrase", given="words\nwords\n")

    assert (refused.code, list(tmp_path.iterdir())) == (2, [])
    assert "there is no terminal to ask for a passphrase: set DNARC_PASSPHRASE" in refused.err


def test_keygen_shows_the_public_key_and_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "a.key"

    made = run("keygen", str(file), "--json")

    content = json.loads(file.read_text())
    assert made.json == {"file": str(file), "public": content["public"], "sealed": False}
    assert (made.err, content["seed"] in made.out) == ("", False)


def test_a_person_who_makes_a_key_is_told_to_keep_a_copy(tmp_path: Path) -> None:
    """At a terminal. Scripts hear nothing."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from node.cli import main; main()", "keygen", "a.key"]
    subprocess.run(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=theirs, timeout=TIMEOUT_S, check=True)
    os.close(theirs)

    said = os.read(ours, 4_096).decode()

    os.close(ours)
    assert said.startswith("dnarc: keep a copy of a.key in another place, and never publish it")


def test_ctrl_c_at_the_passphrase_ends_with_130_and_makes_no_key(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = start("keygen", str(tmp_path / "a.key"), "--passphrase", stdin=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while b"Passphrase" not in shown:
        shown += os.read(ours, 1_024)

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=TIMEOUT_S)
    os.close(ours)

    assert (process.returncode, list(tmp_path.iterdir())) == (130, [])
