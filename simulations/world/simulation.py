"""One run: a loop, a network, a clock and a trace, all from one seed, with the real world out of reach.

    simulation = Simulation(seed=7)
    simulation.run(main(simulation))

Random numbers come from named streams (`stream`), so that a part that draws more or fewer numbers changes nothing for
the others.
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
    """What all nodes of a run share. `errors`: what nodes and libraries logged as an error, each with the
    host's name.
    """

    def __init__(self, seed: object, weather: Weather | None = None) -> None:
        """`seed`: any value; its text decides the whole run. `weather`: that of all wires, fair weather if None."""
        self.seed = seed
        self.loop = VirtualLoop()
        self.trace = Trace(self.loop.time)
        self.network = InMemoryNetwork(self.loop, self.trace, seed, weather or Weather())
        self.loop.network = self.network
        self.verdicts = Verdicts()
        self.errors: list[tuple[str, str]] = []

    def stream(self, name: str) -> Random:
        """A stream of random numbers that depends on the seed and this name only."""
        return Random(f"{self.seed} {name}")

    def now_s(self) -> float:
        """The true wall clock, in seconds since the Unix epoch. The clock of a node may differ from it."""
        return EPOCH_S + self.loop.time()

    def run(self, main: Coroutine[Any, Any, _T]) -> _T:
        """Run the coroutine to its end. Everything that is logged meanwhile goes into the trace."""
        with _logs_in_trace(self.trace, self.errors), trip_wire(self.now_s, self.stream("libraries")):
            return run_to_end(main, self.loop)


@contextmanager
def _logs_in_trace(trace: Trace, errors: list[tuple[str, str]]) -> Iterator[None]:
    """Make structlog and logging write into the trace until the block ends."""
    before = structlog.get_config()
    handler = _TraceHandler(trace, errors)
    root = logging.getLogger()
    structlog.configure(
        processors=[_processor_of(trace, errors)],
        logger_factory=structlog.ReturnLoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(0),  # whatever this process chose before, all is traced
    )
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        structlog.configure(**before)


def _processor_of(trace: Trace, errors: list[tuple[str, str]]) -> Callable[..., str]:
    """A structlog processor that writes each log line into the trace."""

    def note(_logger: Any, level: str, event: dict[str, Any]) -> str:
        words, error = event.pop("event", ""), event.pop("exc_info", None)
        trace.note(_host_name(), "log", event=words, **event)
        if level in _ERROR_LEVELS:
            errors.append((_host_name(), f"{words} {event} {error or ''}"))
        return ""

    return note


_ERROR_LEVELS: Final = ("error", "exception", "critical")


class _TraceHandler(logging.Handler):
    """Writes what libraries log by `logging` into the trace."""

    def __init__(self, trace: Trace, errors: list[tuple[str, str]]) -> None:
        super().__init__(logging.WARNING)
        self._trace = trace
        self._errors = errors

    def emit(self, record: logging.LogRecord) -> None:
        self._trace.note(_host_name(), record.levelname.lower(), text=record.getMessage())
        if record.levelno >= logging.ERROR:
            self._errors.append((_host_name(), f"{record.getMessage()} {record.exc_info or ''}"))


def _host_name() -> str:
    """The name of the host on which this code runs, empty if it runs on no host."""
    host = current_host()
    return host.name if host else ""
