"""One run: a loop, a network, a clock and a trace, all from one seed, with the real world out of reach.

    simulation = Simulation(seed=7)
    simulation.run(main(simulation))

Chance comes in streams by name (`stream`), so that whoever draws more or less changes nothing for others.
"""

import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Final, TypeVar

import structlog

from simulations.world.network import InMemoryNetwork, current_host
from simulations.world.trace import Trace
from simulations.world.tripwire import trip_wire
from simulations.world.verification import Verdicts
from simulations.world.virtual_time import VirtualLoop, run_to_end
from simulations.world.wire import Weather

_T = TypeVar("_T")

EPOCH_S: Final = 1_700_000_000
"""The true wall clock when a run begins, in seconds since the Unix epoch."""


class Simulation:
    """What all nodes of a run share. `errors` is what nodes and libraries log as faults of their own, each
    with the host's name.
    """

    def __init__(self, seed: object, weather: Weather | None = None) -> None:
        self.seed = seed
        self.loop = VirtualLoop()
        self.trace = Trace(self.loop.time)
        self.network = InMemoryNetwork(self.loop, self.trace, seed, weather or Weather())
        self.loop.network = self.network
        self.verdicts = Verdicts()
        self.errors: list[tuple[str, str]] = []

    def stream(self, name: str) -> Random:
        """A stream of chance that depends on the seed and this name, and on nothing else."""
        return Random(f"{self.seed} {name}")

    def now_s(self) -> float:
        """The true wall clock; nodes may have other ones."""
        return EPOCH_S + self.loop.time()

    def run(self, main: Coroutine[Any, Any, _T]) -> _T:
        """Run this to its end. What anything logs goes into the trace."""
        with _logged(self.trace, self.errors), trip_wire(self.now_s, self.stream("libraries")):
            return run_to_end(main, self.loop)


@contextmanager
def _logged(trace: Trace, errors: list[tuple[str, str]]) -> Iterator[None]:
    """Have structlog and logging write into the trace."""
    before = structlog.get_config()
    handler = _TraceHandler(trace, errors)
    root = logging.getLogger()
    structlog.configure(processors=[_to(trace, errors)], logger_factory=structlog.ReturnLoggerFactory())
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        structlog.configure(**before)


def _to(trace: Trace, errors: list[tuple[str, str]]) -> Callable[..., str]:
    def note(_logger: Any, level: str, event: dict[str, Any]) -> str:
        words, error = event.pop("event", ""), event.pop("exc_info", None)
        trace.note(_place(), "log", event=words, **event)
        if level in _FAULTS:
            errors.append((_place(), f"{words} {event} {error or ''}"))
        return ""

    return note


_FAULTS: Final = ("error", "exception", "critical")


class _TraceHandler(logging.Handler):
    """For libraries, which use `logging`."""

    def __init__(self, trace: Trace, errors: list[tuple[str, str]]) -> None:
        super().__init__(logging.WARNING)
        self._trace = trace
        self._errors = errors

    def emit(self, record: logging.LogRecord) -> None:
        self._trace.note(_place(), record.levelname.lower(), text=record.getMessage())
        if record.levelno >= logging.ERROR:
            self._errors.append((_place(), f"{record.getMessage()} {record.exc_info or ''}"))


def _place() -> str:
    host = current_host()
    return host.name if host else ""
