"""The result of a run: whether every invariant held, and its figures."""

from collections.abc import Collection, Coroutine
from typing import Any

import msgspec

from simulations.cluster import Cluster, NotSettledError
from simulations.world.trace import TraceLine
from simulations.world.virtual_time import StuckError


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """`violations`: what did not hold, empty if everything did. The same run has the same `digest`, on any machine.

    `records`: how many different records were acknowledged. `commits`: those of all nodes together. `virtual_s`: how
    long the run took in virtual seconds. `settled_s`: for each wait until no record was missing, how long it took.
    `counts`: how often each `what` of the trace happened.
    """

    seed: str
    digest: str
    violations: list[str] = msgspec.field(name="faults")
    nodes: int
    records: int
    commits: int
    virtual_s: float
    settled_s: list[float]
    callbacks: int
    counts: dict[str, int]
    lines: list[TraceLine] = []

    @property
    def is_good(self) -> bool:
        return not self.violations


def observe(
    cluster: Cluster, main: Coroutine[Any, Any, None], excused: Collection[str] = (), *, with_lines: bool = False
) -> RunResult:
    """Run `main` to its end, and return the result. Machines named in `excused` may log errors."""
    simulation = cluster.simulation
    violations = []
    try:
        simulation.run(main)
    except NotSettledError as error:
        violations.append(f"nodes do not agree at the end:\n{error}")
    except StuckError as error:
        violations.append(f"stuck: {error}")
    except Exception as error:
        violations.append(f"the run ended by an error: {_words(error)}")
    violations += cluster.checkers.violations
    violations += [f"an exception was not caught: {_uncaught_words(it)}" for it in simulation.loop.uncaught]
    violations += [f"{place} logs as an error: {words}" for place, words in simulation.errors if place not in excused]
    return RunResult(
        seed=str(simulation.seed),
        digest=simulation.trace.digest(),
        violations=violations,
        nodes=len(cluster.machines),
        records=len({it.record.id for it in cluster.acknowledgements}),
        commits=cluster.checkers.commits,
        virtual_s=round(simulation.loop.time(), 3),
        settled_s=cluster.settled_s,
        callbacks=simulation.loop.callbacks,
        counts=dict(sorted(simulation.trace.counts.items())),
        lines=list(simulation.trace.lines) if with_lines else [],
    )


def _words(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(map(_words, error.exceptions))
    return f"{type(error).__name__}: {error}"


def _uncaught_words(uncaught: dict[str, Any]) -> str:
    error = uncaught.get("exception")
    return f"{uncaught['message']}: {_words(error) if error is not None else ''}"
