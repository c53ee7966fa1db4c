"""A fault is planted in the intended place or not at all. A seed counts as a find only if the fault explains it."""

from pathlib import Path

import pytest

from simulations.swarm.hunt import Find, MutantError, hunt, plant
from simulations.swarm.mutants import Edit, Mutant

EDIT = Edit("module.py", "a > b", "a >= b")

EMPTY_RUN = Edit("simulations/swarm/play.py", "    await _build(cluster, plan)\n", "    return\n")
FAULT = Edit(
    "simulations/judges/checkers.py", "self.violations: list[str] = []", 'self.violations: list[str] = ["planted"]'
)


def test_an_edit_changes_the_one_place_with_its_old_text(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("if a > b:\n    pass\n")

    plant(tmp_path, EDIT)

    assert (tmp_path / "module.py").read_text() == "if a >= b:\n    pass\n"


@pytest.mark.parametrize("source", ["if a < b:", "a > b or a > b"])
def test_an_edit_whose_old_text_is_gone_or_there_twice_is_an_error(tmp_path: Path, source: str) -> None:
    """Otherwise a mutant that changes nothing would count as one that no seed finds."""
    (tmp_path / "module.py").write_text(source)

    with pytest.raises(MutantError, match=r"module\.py does not contain exactly once: a > b"):
        plant(tmp_path, EDIT)


def test_a_fault_is_found_by_the_first_seed_that_fails_because_of_it() -> None:
    mutant = Mutant("planted", "every run fails", (FAULT,), without=(EMPTY_RUN,))

    find = hunt(mutant, seeds=3)

    assert find == Find("planted", seeds=1, seed=0, by="planted")


def test_a_seed_that_also_fails_without_the_fault_is_no_find() -> None:
    """Some runs fail already because of the mechanism that was taken out."""
    mutant = Mutant("harmless", "none", (), without=(EMPTY_RUN, FAULT))

    find = hunt(mutant, seeds=2)

    assert find == Find("harmless", seeds=2, seed=None, void=(0, 1))
