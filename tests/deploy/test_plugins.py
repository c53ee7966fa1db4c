"""The example of a write plug-in, which people copy: it runs as it stands, and does what it says."""

import ast
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from node.settings.settings import Settings
from node.write_plugin.trial import Trial, play
from protocol.records.record import Record
from tests.deploy.programs import DEPLOY
from tests.history import ALICE, BOB, claim
from tests.node.write_plugin.programs import tried

EXAMPLE = DEPLOY / "plugins" / "members_and_words.py"


async def tried_with(members: Path, words: Path, *records: Record) -> Trial:
    return await tried(*records, write_plugin=[str(EXAMPLE), str(members), str(words)])


@pytest.fixture
def lists(tmp_path: Path) -> tuple[Path, Path]:
    members, words = tmp_path / "members.txt", tmp_path / "words.txt"
    members.write_text(f"# who may found labels\n{ALICE.public}  # Alice\n\n", encoding="utf-8")
    words.write_text("Casino\nwürfel\n", encoding="utf-8")
    return members, words


async def test_members_found_labels_and_others_do_not(lists: tuple[Path, Path]) -> None:
    trial = await tried_with(*lists, claim("garden", by=ALICE, at=1), claim("bobs", by=BOB, at=2))

    message = "Only members found labels here. Ask the operator to become one."
    assert (trial.fault, trial.accepted, trial.reasons) == (None, 1, {("write_plugin", message): 1})


@pytest.mark.parametrize(
    "fields",
    [{"text": "my CASINO!"}, {"deep": [{"text": ["WÜRFEL"]}]}, {"casino": 1}],
)
async def test_a_word_of_the_list_is_refused_wherever_it_stands(
    lists: tuple[Path, Path], fields: dict[str, Any]
) -> None:
    trial = await tried_with(
        *lists, claim("a", **fields), claim("casino", at=2), claim("b", at=3, text="casinos are not")
    )

    assert (trial.fault, trial.accepted, trial.refused) == (None, 1, 2)


async def test_a_changed_list_is_read_again(lists: tuple[Path, Path]) -> None:
    members, words = lists
    settings = Settings(write_plugin=[str(EXAMPLE), str(members), str(words)])
    trial, records = Trial(), [claim("bobs", by=BOB, at=number) for number in (1, 2)]

    async for _ in play(records, settings, trial):
        members.write_text(f"{BOB.public}\n", encoding="utf-8")

    assert (trial.accepted, trial.refused) == (1, 1)


async def test_it_goes_on_with_what_it_knows_if_a_list_is_gone(lists: tuple[Path, Path], tmp_path: Path) -> None:
    trial = await tried_with(tmp_path / "absent", lists[1], claim("garden"))

    assert (trial.fault, trial.refused) == (None, 1)


def test_it_needs_nothing_but_python() -> None:
    tree = ast.parse(EXAMPLE.read_text(encoding="utf-8"))

    imported = {alias.name for part in ast.walk(tree) if isinstance(part, ast.Import) for alias in part.names}

    assert imported <= sys.stdlib_module_names
    assert not [part for part in ast.walk(tree) if isinstance(part, ast.ImportFrom)]
    assert os.access(EXAMPLE, os.X_OK)
