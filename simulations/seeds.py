"""Many seeds, on some processes: each plays its plans one after another, and says how each was."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from simulations.outcome import Outcome
from simulations.play import play
from simulations.swarm import draw


def play_seed(seed: int) -> Outcome:
    return play(draw(seed))


def play_seeds(seeds: Sequence[int], jobs: int) -> Iterator[Outcome]:
    """The outcomes as they come. With one job it all happens in this process."""
    if jobs == 1:
        yield from map(play_seed, seeds)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(play_seed, seed) for seed in seeds]):
            yield done.result()
