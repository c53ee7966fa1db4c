"""The same seed is the same run: twice in one process with a different heap, and with any hash seed."""

import os
import subprocess
import sys

from simulations.swarm.draw import draw
from simulations.swarm.play import play
from tests.paths import ROOT

SEED = 1
"""A short run with links and faults."""

OTHER_SEED = 28

_CODE = f"""
from simulations.swarm.play import play
from simulations.swarm.draw import draw
print(play(draw({SEED})).digest)
"""


def test_a_seed_has_the_same_digest_with_any_heap_and_any_hash_seed() -> None:
    """Addresses in memory decide the order of a set of objects. The hash seed decides the order of a set of strings."""
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
    assert play(draw(SEED)).digest != play(draw(OTHER_SEED)).digest
