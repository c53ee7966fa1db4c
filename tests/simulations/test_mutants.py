"""Faults are planted where they are meant to be, or not at all."""

from pathlib import Path

import pytest

from simulations.mutants import MUTANTS, Change, MutantError, plant

CHANGE = Change("module.py", "a > b", "a >= b")


def test_a_change_is_made_in_one_place(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("if a > b:\n    pass\n")

    plant(tmp_path, CHANGE)

    assert (tmp_path / "module.py").read_text() == "if a >= b:\n    pass\n"


@pytest.mark.parametrize("source", ["if a < b:", "a > b or a > b"])
def test_words_that_are_gone_or_stand_twice_are_said(tmp_path: Path, source: str) -> None:
    """A mutant that changes nothing would be one that nobody finds."""
    (tmp_path / "module.py").write_text(source)

    with pytest.raises(MutantError, match=r"module\.py does not hold once: a > b"):
        plant(tmp_path, CHANGE)


def test_mutants_have_names_of_their_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 12
