"""Many seeds on several processes. Each process plays its plans one after another."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context

from simulations.run_result import RunResult
from simulations.swarm.draw import draw
from simulations.swarm.play import play


def play_seed(seed: int) -> RunResult:
    return play(draw(seed))


def play_seeds(seeds: Sequence[int], jobs: int, seconds: float | None = None) -> Iterator[RunResult]:
    """Play these seeds, and yield each result as soon as it is there.

    `jobs`: processes; with 1 everything runs in this process. `seconds`: after this time no further seed begins.
    """
    end_s = float("inf") if seconds is None else time.monotonic() + seconds
    timely = (seed for seed in seeds if time.monotonic() < end_s)
    if jobs == 1:
        yield from map(play_seed, timely)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        playing: set[Future[RunResult]] = set()
        for seed in timely:
            playing.add(pool.submit(play_seed, seed))
            if len(playing) >= 2 * jobs:
                done, playing = wait(playing, return_when=FIRST_COMPLETED)
                yield from (it.result() for it in done)
        yield from (it.result() for it in wait(playing).done)
