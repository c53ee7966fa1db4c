"""The list of planted faults stays true while the program changes."""

import re

import pytest

from simulations.swarm.hunt import ROOT
from simulations.swarm.mutants import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_words_that_a_mutant_replaces_are_in_the_program_once(mutant: Mutant) -> None:
    edits = (*mutant.without, *mutant.edits)

    counts = [(ROOT / edit.file).read_text(encoding="utf-8").count(edit.old) for edit in edits]

    assert counts == [1] * len(edits)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_program_with_a_planted_fault_is_still_a_program(mutant: Mutant) -> None:
    """A hunt that cannot start finds nothing."""
    sources: dict[str, str] = {}
    for edit in (*mutant.without, *mutant.edits):
        source = sources.get(edit.file) or (ROOT / edit.file).read_text(encoding="utf-8")
        sources[edit.file] = source.replace(edit.old, edit.new)

    for file, source in sources.items():
        compile(source, file, "exec")


def test_the_page_shows_every_mutant_and_no_other() -> None:
    table = (ROOT / "docs" / "simulations.md").read_text(encoding="utf-8").split("| mutant |")[1].split("\n\n")[0]

    assert sorted(re.findall(r"(?m)^\| `([a-z0-9-]+)`", table)) == sorted(mutant.name for mutant in MUTANTS)


def test_mutants_have_names_of_their_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 20
