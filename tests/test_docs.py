"""The pages: each link leads to a file and a heading that exist, and each block of TOML or JSON can be read."""

import json
import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

from node.cli.app import Commands
from node.settings.description import describe
from simulations.scenarios import SCENARIOS
from tests.paths import ROOT

PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
COMMAND_DEFAULTS: Final = {"node", "key", "tls_ca"}
"""Names in a person's own file of defaults for commands, which is no settings file of a node."""


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text_of(page: Path) -> str:
    """The text without its blocks of code, whose brackets and comments are neither links nor headings."""
    return re.sub(r"(?ms)^ *```.*?^ *```", "", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The names of the headings, as GitHub makes them for links."""
    headings = re.findall(r"(?m)^#+ (.*)$", text_of(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if "://" in link:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)

    assert dead == []


ROOMS: Final = "protocol|node|simulations|tests|benchmarks|deploy"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name)
def test_every_file_and_folder_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(rf"`((?:{ROOMS})/[\w./-]+)`", page.read_text(encoding="utf-8"))

    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_command_that_a_page_or_a_comment_names_exists() -> None:
    sources = [
        path for room in ("protocol", "node", "simulations", "benchmarks") for path in (ROOT / room).rglob("*.py")
    ]
    known = {*Commands.places, "simulate"}

    unknown = {
        (str(file.relative_to(ROOT)), command)
        for file in (*PAGES, *sources)
        for command in re.findall(r"`dnarc ([a-z][a-z-]*)", file.read_text(encoding="utf-8"))
        if command not in known
    }

    assert unknown == set()


def test_the_page_of_simulations_counts_the_scenarios() -> None:
    assert f"lists {len(SCENARIOS)} named stories" in (ROOT / "docs" / "simulations.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_of_toml_names_settings(page: Path) -> None:
    known = {setting.name for setting in describe()} | COMMAND_DEFAULTS

    named = {name for block in blocks(page, "toml") for name in tomllib.loads(block)}

    assert named <= known


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_of_json_can_be_read(page: Path) -> None:
    for block in blocks(page, "json"):
        json.loads(block)
