"""The README's tour: whoever copies a script out of it gets a claim accepted, with nothing of ours in the script."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from simulations.local import LocalNode, running

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


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
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=True)
    body = (folder / "claim.json").read_bytes()
    request = Request(f"{node.url}/claims/{done.stdout.strip()}", data=body, method="PUT")
    with urlopen(request, timeout=30) as answer:
        return answer.status, answer.read().decode()


def test_a_claim_made_by_the_ten_lines_of_python_is_accepted(node: LocalNode, tmp_path: Path) -> None:
    text = script("python", "# claim.py")
    (tmp_path / "claim.py").write_text(text)

    status, body = put_what_it_signs(node, [sys.executable, "claim.py"], tmp_path)

    assert (status, '"verdict":"founded"' in body) == (201, True), body
    assert len([line for line in text.splitlines()[1:] if line]) <= 10
    assert "dnarc" not in text


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_a_claim_made_by_the_webcrypto_of_node_js_is_accepted(node: LocalNode, tmp_path: Path) -> None:
    text = script("js", "// claim.mjs")
    (tmp_path / "claim.mjs").write_text(text)

    status, body = put_what_it_signs(node, ["node", "claim.mjs"], tmp_path)

    assert (status, '"verdict":"founded"' in body) == (201, True), body


def test_every_page_that_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README)

    missing = [link for link in links if not (Path(__file__).parent.parent / link).exists()]

    assert links
    assert missing == []
