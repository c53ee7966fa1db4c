"""The trip-wire: under it, whoever touches the real world is told so, with the line that did it.

A thread, a socket, a real sleep or a real clock makes two runs of one seed differ, mostly by little and once a month.
So while a simulation runs, all of these raise, but for the few libraries named here with a reason; those get the
virtual clock, or bytes of the run's own stream. What `datetime` reads is out of reach: a built-in type cannot be given
another `now`. Other threads, such as a test runner's own, are left alone.
"""

import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Any, Final

CLOCK_READERS: Final = {
    "aiohttp": "the Date header of an answer, in whole seconds",
    "logging": "the time of a log record",
}
"""Libraries that may read the wall clock; they get the virtual one."""

CHANCE_DRAWERS: Final = {
    "aiohttp": "the key of a WebSocket handshake, and masks",
    "websockets": "the key of a WebSocket handshake, masks, and the name of a connection in its log",
}
"""Libraries that may ask for random bytes; they get those of the run."""

SOCKET_MAKERS: Final = {"aiohappyeyeballs": "makes a socket, and has the loop connect it"}
"""Libraries that make a socket before they hand it to the loop; they get an `UnboundSocket`."""

TIMERS_OF_OTHERS: Final = {"hypothesis": "how long a test takes", "_pytest": "how long a test takes"}
"""Who may measure real time around and under a run, without any effect on it."""

_INNER: Final = ("random", "secrets", "uuid", "simulations.world.tripwire")
"""Modules that only pass a question on."""


class TripWireError(AssertionError):
    """Something under a virtual clock touched the real world."""


class UnboundSocket:
    """What stands for a socket between its making and the virtual loop's `create_connection`."""

    def __init__(self, *_: object, **__: object) -> None:
        self.end: Any = None

    def setblocking(self, _flag: bool) -> None:
        """No call on it blocks."""

    def close(self) -> None:
        if self.end is not None:
            self.end.abort()


@contextmanager
def trip_wire(now_s: Callable[[], float], chance: Random) -> Iterator[None]:
    """Until the block ends, this thread has no real world. `now_s` is the virtual wall clock."""
    thread = threading.get_ident()
    state = random.getstate()
    random.seed(chance.getrandbits(64))  # libraries that spread retries or draw a ping's four bytes
    with ExitStack() as wires:

        def wire(owner: Any, name: str, instead: Callable[[str], Callable[..., Any] | None]) -> None:
            wires.enter_context(_replaced(owner, name, thread, instead))

        for owner, name in _FORBIDDEN:
            wire(owner, name, lambda _: None)
        wire(time, "time", lambda module: now_s if _is_among(module, CLOCK_READERS) else None)
        wire(random, "_urandom", lambda module: chance.randbytes if _is_among(module, CHANCE_DRAWERS) else None)
        wire(os, "urandom", lambda module: chance.randbytes if _is_among(module, CHANCE_DRAWERS) else None)
        wire(socket, "socket", lambda module: UnboundSocket if _is_among(module, SOCKET_MAKERS) else None)
        try:
            yield
        finally:
            random.setstate(state)


_FORBIDDEN: Final = (
    (threading.Thread, "start"),
    (time, "sleep"),
    (time, "monotonic"),
    (time, "perf_counter"),
    (time, "time_ns"),
    (socket, "create_connection"),
    (socket, "getaddrinfo"),
    (subprocess, "Popen"),
)


@contextmanager
def _replaced(
    owner: Any, name: str, thread: int, instead: Callable[[str], Callable[..., Any] | None]
) -> Iterator[None]:
    """Give the name another meaning in this thread: what `instead` says for the module that asks, or an error."""
    real = getattr(owner, name)

    def wired(*args: Any, **more: Any) -> Any:
        if threading.get_ident() != thread:
            return real(*args, **more)
        frame = _caller()
        module = frame.f_globals.get("__name__", "")
        if _is_among(module, TIMERS_OF_OTHERS):
            return real(*args, **more)
        allowed = instead(module)
        if allowed is None:
            place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
            raise TripWireError(
                f"{module} ({place}) calls {owner.__name__}.{name}: the real world, under a virtual clock"
            )
        return allowed(*args, **more)

    setattr(owner, name, wired)
    try:
        yield
    finally:
        setattr(owner, name, real)


def _caller() -> Any:
    """The frame that asks, past modules that only pass on."""
    frame: Any = sys._getframe(2)
    while frame.f_globals.get("__name__") in _INNER and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _is_among(module: str, names: dict[str, str]) -> bool:
    return module.partition(".")[0] in names
