"""Faults are planted where they are meant to be, or not at all; a find is one where nothing else explains it."""

from pathlib import Path

import pytest

from simulations.swarm.hunt import Find, MutantError, hunt, plant
from simulations.swarm.mutants import Edit, Mutant

EDIT = Edit("module.py", "a > b", "a >= b")

EMPTY_RUN = Edit("simulations/swarm/play.py", "    await _build(cluster, plan)\n", "    return\n")
FAULT = Edit(
    "simulations/judges/checkers.py", "self.violations: list[str] = []", 'self.violations: list[str] = ["planted"]'
)


def test_a_change_is_made_in_one_place(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("if a > b:\n    pass\n")

    plant(tmp_path, EDIT)

    assert (tmp_path / "module.py").read_text() == "if a >= b:\n    pass\n"


@pytest.mark.parametrize("source", ["if a < b:", "a > b or a > b"])
def test_words_that_are_gone_or_stand_twice_are_said(tmp_path: Path, source: str) -> None:
    """A mutant that edits nothing would be one that nobody finds."""
    (tmp_path / "module.py").write_text(source)

    with pytest.raises(MutantError, match=r"module\.py does not contain exactly once: a > b"):
        plant(tmp_path, EDIT)


def test_a_fault_is_found_in_the_first_seed_that_fails_by_it() -> None:
    mutant = Mutant("planted", "every run fails", (FAULT,), without=(EMPTY_RUN,))

    find = hunt(mutant, seeds=3)

    assert find == Find("planted", seeds=1, seed=0, by="planted")


def test_a_seed_that_fails_without_the_fault_too_finds_nothing() -> None:
    """What was taken out, so that the fault shows, is missed by itself in some runs."""
    mutant = Mutant("harmless", "none", (), without=(EMPTY_RUN, FAULT))

    find = hunt(mutant, seeds=2)

    assert find == Find("harmless", seeds=2, seed=None, void=(0, 1))
