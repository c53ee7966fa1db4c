"""Hunting: plant a mutant in a copy of the program, and play seeds against the copy until one fails.

A seed may fail for another reason than the planted fault, above all if a mechanism that would repair the fault was
taken out. So the failing seed is played once more, against a copy that differs only in the fault. It counts only if it
holds there.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from simulations.swarm.draw_council import witnessed_seeds
from simulations.swarm.mutants import Edit, Mutant

ROOT: Final = Path(__file__).parents[2]
_PACKAGES: Final = ("node", "protocol", "simulations")


class Find(msgspec.Struct, frozen=True):
    """The result of a hunt. `seeds`: how many were played. `seed`: the one that showed the fault, None if no seed did.
    `by`: the violation that showed it. `void`: earlier seeds that failed without the fault too.
    """

    mutant: str
    seeds: int
    seed: int | None
    by: str = ""
    void: tuple[int, ...] = ()


class MutantError(Exception):
    """The source text that a mutant replaces is not in the program any more. The mutant must be changed."""


def hunt(mutant: Mutant, seeds: int) -> Find:
    """Play seeds from 0 on against the mutant until one shows the fault. `seeds`: how many at most. Seeds without a
    witnessed domain are left out where only a witnessed domain can show it.

    Raises:
        MutantError: the text that the mutant replaces is not in the program exactly once.
    """
    void: list[int] = []
    chosen = list(witnessed_seeds(0, seeds) if mutant.is_of_witnesses else range(seeds))
    with _copied((*mutant.without, *mutant.edits)) as faulty, _copied(mutant.without) as sound:
        played = 0
        while (failing := _first_failing(faulty, chosen[played:])) is not None:
            seed, by = failing
            played = chosen.index(seed) + 1
            if _first_failing(sound, [seed]) is None:
                return Find(mutant.name, played, seed, by, tuple(void))
            void.append(seed)
    return Find(mutant.name, seeds, None, void=tuple(void))


def plant(root: Path, edit: Edit) -> None:
    """Make the edit in the copy of the program at `root`.

    Raises:
        MutantError: the old text is not in the file exactly once.
    """
    path = root / edit.file
    source = path.read_text(encoding="utf-8")
    if source.count(edit.old) != 1:
        raise MutantError(f"{edit.file} does not contain exactly once: {edit.old}")
    path.write_text(source.replace(edit.old, edit.new), encoding="utf-8")


@contextmanager
def _copied(edits: Sequence[Edit]) -> Iterator[Path]:
    """Make a copy of the program with these edits, and delete it when the block ends. Gives its folder.

    The compiled files are copied too, because to compile the program takes longer than to play a seed. Python compiles
    the edited files again, because their dates are new.
    """
    with TemporaryDirectory() as folder:
        copy = Path(folder)
        for package in _PACKAGES:
            shutil.copytree(ROOT / package, copy / package)
        for edit in edits:
            plant(copy, edit)
        yield copy


def _first_failing(copy: Path, seeds: Sequence[int]) -> tuple[int, str] | None:
    """The first of these seeds that fails in the copy, and its first violation. Plays in a process of its own."""
    command = [sys.executable, "-m", "simulations.swarm.hunt", *map(str, seeds)]
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=copy, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    failing = json.loads(done.stdout.splitlines()[-1])
    return None if failing is None else (failing[0], failing[1])


def _play(seeds: Sequence[int]) -> tuple[int, str] | None:
    """Play these seeds until one fails. Runs in the process of the copy."""
    from simulations.swarm.seeds import play_seeds

    failing = (result for result in play_seeds(seeds, jobs=1) if not result.is_good)
    return next(((int(result.seed), result.violations[0]) for result in failing), None)


if __name__ == "__main__":
    print(json.dumps(_play(list(map(int, sys.argv[1:])))))
