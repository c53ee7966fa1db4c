"""The same seed is the same run: in one process after the heap was disturbed, and under any hash seed."""

import os
import subprocess
import sys

from simulations.swarm.draw import draw
from simulations.swarm.play import play
from tests.paths import ROOT

SEED = 1
"""With links and faults, and short."""

_CODE = f"""
from simulations.swarm.play import play
from simulations.swarm.draw import draw
print(play(draw({SEED})).digest)
"""


def test_a_seed_gives_one_digest_whatever_lies_in_memory_and_whatever_the_hash_seed() -> None:
    """Addresses decide the order of a set of objects, hash seeds that of a set of texts."""
    processes = [digest_under(hash_seed) for hash_seed in ("1", "2")]

    here = play(draw(SEED)).digest
    ballast = [object() for _ in range(100_003)]
    del ballast[::3]
    again = play(draw(SEED)).digest

    assert [process.communicate(timeout=120)[0].strip() for process in processes] == [here, here]
    assert again == here


def digest_under(hash_seed: str) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", _CODE]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def test_another_seed_is_another_run() -> None:
    digests = {play(draw(seed)).digest for seed in (1, 28)}

    assert len(digests) == 2
