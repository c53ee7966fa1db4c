"""The README's tour: its scripts use no code of ours and make a claim that a node accepts, and every command in it, and
on the operator's page, exists.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from node.client import keyfile
from simulations.processes.process import LocalNode, running
from tests.node.cli.conftest import run
from tests.node.cli.test_examples import command_of
from tests.paths import ROOT
from tests.test_witnesses_page import operators

README = (ROOT / "README.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


SCRIPTS = {
    "python": ("# claim.py", sys.executable, "claim.key"),
    "js": ("// claim.mjs", "node", "claim.jwk"),
}
"""By language: the first line of the script, the program that runs it, and the file in which it keeps its key."""


def commands(page: str) -> list[str]:
    """Every line of `dnarc` in the blocks of a page, from its name on."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [found[1] for line in lines if (found := re.search(r"(?:^|^\$ |\| )(dnarc .*?)(?: &)?$", line))]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNode]:
    with running("node", tmp_path_factory.mktemp("readme") / "node") as started:
        yield started


def script(language: str, first_line: str) -> str:
    """The fenced block of this language that begins with this line."""
    found = re.findall(rf"```{language}\n({re.escape(first_line)}\n.*?)```", README, re.DOTALL)
    assert len(found) == 1, f"{first_line} stands once in the README"
    return str(found[0])


def put_what_it_signs(node: LocalNode, command: list[str], folder: Path) -> tuple[int, str]:
    """Run the script, and put its claim as the README does. Returns status and body of the answer."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=True)
    body = (folder / "claim.json").read_bytes()
    request = Request(f"{node.url}/claims/{done.stdout.strip()}", data=body, method="PUT")
    with urlopen(request, timeout=120) as answer:
        return answer.status, answer.read().decode()


def test_a_claim_made_by_the_script_in_python_is_accepted(node: LocalNode, tmp_path: Path) -> None:
    text = script("python", "# claim.py")
    (tmp_path / "claim.py").write_text(text)

    status, body = put_what_it_signs(node, [sys.executable, "claim.py"], tmp_path)

    assert (status, '"verdict":"founded"' in body) == (201, True), body
    assert len([line for line in text.splitlines()[1:] if line]) <= 16, "the script is short"
    assert "dnarc" not in text


@pytest.mark.parametrize("language", ["python", "js"])
def test_a_script_keeps_its_key_for_the_next_claim(tmp_path: Path, language: str) -> None:
    """A key that is thrown away orphans its label for ever."""
    first_line, command, kept = SCRIPTS[language]
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed")
    name = first_line.split()[1]
    (tmp_path / name).write_text(script(language, first_line))

    signers = []
    for _ in range(2):
        subprocess.run([command, name], cwd=tmp_path, capture_output=True, timeout=120, check=True)
        signers.append(json.loads((tmp_path / "claim.json").read_bytes())["signedby"])

    assert signers[0] == signers[1]
    assert (tmp_path / kept).stat().st_mode & 0o777 == 0o600


def test_the_key_of_the_python_script_signs_in_the_commands_too(node: LocalNode, tmp_path: Path) -> None:
    (tmp_path / "claim.py").write_text(script("python", "# claim.py"))
    subprocess.run([sys.executable, "claim.py"], cwd=tmp_path, capture_output=True, timeout=120, check=True)

    done = run("claim", "example.org", "shed", "n=1", "--key", str(tmp_path / "claim.key"), "--node", node.url)

    signer = json.loads((tmp_path / "claim.json").read_bytes())["signedby"]
    assert (done.code, keyfile.public_key(tmp_path / "claim.key")) == (0, signer)


SECRET_FILES = (
    "dnarc.key", "folder/bob.key", ".dnarc.key.0123abcd", "claim.jwk", "data/anything", "other/node.key",
    "other/admin-token", "other/dnarc.db", "other/dnarc.db-wal",
)  # fmt: skip


@pytest.mark.skipif(not (ROOT / ".git").exists() or shutil.which("git") is None, reason="this is no checkout of git")
def test_git_ignores_every_file_that_holds_a_secret() -> None:
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", *SECRET_FILES], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.stdout.split() == list(SECRET_FILES), done.stderr


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_a_claim_made_by_the_webcrypto_of_node_js_is_accepted(node: LocalNode, tmp_path: Path) -> None:
    text = script("js", "// claim.mjs")
    (tmp_path / "claim.mjs").write_text(text)

    status, body = put_what_it_signs(node, ["node", "claim.mjs"], tmp_path)

    assert (status, '"verdict":"founded"' in body) == (201, True), body


def test_the_commands_about_final_claims_make_a_claim_final(tmp_path: Path) -> None:
    """On a node that `make run` started, which is no witness before."""
    section = README.split("### Final claims\n")[1].split("\n### ")[0]
    lines = commands(section)
    shown_key, shown_domain = (re.search(pattern, section) for pattern in (r"\w+…\w+", r"org\.example\.w\w{50,}"))
    assert shown_key is not None
    assert shown_domain is not None
    said: list[str] = []
    with operators(tmp_path, 1) as (me,):
        me.node.start()
        me.type("dnarc keygen dnarc.key")
        for line in lines:
            if line.startswith("dnarc serve"):
                me.node.stop()
            named = line.replace(shown_key[0], said[0] if said else "").replace(shown_domain[0], "".join(said[1:2]))
            said.append(me.type(named))

    assert said[4].endswith(", final")
    proven = " ".join(said[-1].split())  # the width of the output decides where its lines end
    assert proven.startswith(f"garden of {said[1]} is proven: 1 of 1 witnesses")


def test_every_page_that_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README)

    missing = [link for link in links if not (ROOT / link).exists()]

    assert links
    assert missing == []


@pytest.mark.parametrize("line", dict.fromkeys([*commands(README), *commands(OPERATIONS)]))
def test_every_command_that_is_shown_would_be_taken_as_it_stands(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    if words[0].startswith("--"):
        return  # of the shell's completion, which comes with the program's own options

    command, rest = command_of(words)

    assert command.make_context("dnarc", list(rest)).args == []
