"""What a run came to, and whether all held that must hold."""

from collections.abc import Collection, Coroutine
from typing import Any

import msgspec

from simulations.cluster import Cluster, NotSettledError
from simulations.world.trace import TraceLine
from simulations.world.virtual_time import StuckError


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """`violations` is empty where all held. The same run has the same `digest`, on any machine.

    `records` were acknowledged by some node, `commits` are those of all nodes together. `settled_s`: how long it took
    until the network was one, each time that somebody waited for it. `counts`: how often each kind of thing happened.
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
    """Run this to its end, and say how it was. What the machines named in `excused` log as errors does not count."""
    simulation = cluster.simulation
    violations = []
    try:
        simulation.run(main)
    except NotSettledError as error:
        violations.append(f"the network does not become one:\n{error}")
    except StuckError as error:
        violations.append(f"stuck: {error}")
    except Exception as error:
        violations.append(f"the run broke off: {_words(error)}")
    violations += cluster.checkers.violations
    violations += [f"nobody caught: {_caught(fault)}" for fault in simulation.loop.uncaught]
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


def _caught(fault: dict[str, Any]) -> str:
    error = fault.get("exception")
    return f"{fault['message']}: {_words(error) if error is not None else ''}"
