"""The examples of docs/python.md, run in order against a real node."""

import ast
import asyncio
import inspect
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from node.client import Client, load_key
from node.node import Node
from node.settings.settings import Settings
from node.world import World
from protocol.signing import SigningKey
from tests.node.witness.test_four import DOMAIN, council
from tests.paths import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
SCRIPT, *EXAMPLES = re.findall(r"(?ms)^```python\n(.*?)^```", PAGE)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with Node(Settings(port=0, data=tmp_path / "data"), World()) as node:
        yield node


async def run(example: str, names: dict[str, Any]) -> None:
    """Run an example that may `await`, as it may inside of a coroutine."""
    code = compile(example, "docs/python.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    begun = eval(code, names)
    if inspect.iscoroutine(begun):
        await begun


async def run_script(node: Node, folder: Path) -> str:
    """Run the first example as a program of its own; returns what it prints."""
    text = SCRIPT.replace("http://127.0.0.1:8080", node.url)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", text, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def test_every_example_works_as_it_stands(node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = await run_script(node, tmp_path)
    again = await run_script(node, tmp_path)
    key = load_key(tmp_path / "greeter.key")

    async with Client(node.url) as client:
        names: dict[str, Any] = {"client": client, "key": key}
        for example in EXAMPLES:
            await run(example, names)

    printed = capsys.readouterr().out
    assert first == again == f"hello says {key.public}\n"
    assert f"{key.public} False [('founded', {{'text': 'hello'}}), ('updated', {{'text': 'hello'}})]" in printed
    assert "accepted garden {'fence': 'white', 'gate': 'red'}" in printed


async def test_the_example_of_a_domain_with_witnesses_waits_until_its_record_is_final(tmp_path: Path) -> None:
    (example,) = (each for each in EXAMPLES if "wait_for_final" in each)

    async with council(tmp_path, awake=4) as nodes, Client(nodes[0].url) as client:
        names: dict[str, Any] = {"client": client, "key": SigningKey(b"writer".ljust(32, b"."))}
        await run(example, names)
        claim, final = await names["publish"](DOMAIN)

    assert (claim.certainty, final.certainty, final.id) == ("final", "final", claim.id)
