"""The trip-wire: while it is set, code that touches the real world raises an error that names the line.

A thread, a socket, a real sleep or a real clock would make two runs of one seed differ, mostly a little and rarely. So
while a simulation runs, each of them raises an error. A few libraries are exempt, and each has its reason here. They
get the virtual clock, or bytes of the run's own stream. `datetime` cannot be caught, because a built-in type cannot be
given another `now`. Other threads, such as those of a test runner, are not affected.
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
"""Libraries that may read the wall clock, and what for. They get the virtual clock."""

CHANCE_DRAWERS: Final = {
    "aiohttp": "the key of a WebSocket handshake, and masks",
    "websockets": "the key of a WebSocket handshake, masks, and the name of a connection in its log",
}
"""Libraries that may ask for random bytes, and what for. They get bytes of the run's own stream."""

SOCKET_MAKERS: Final = {"aiohappyeyeballs": "makes a socket, and lets the loop connect it"}
"""Libraries that make a socket before the loop connects it. They get an `UnboundSocket`."""

TIMERS_OF_OTHERS: Final = {"hypothesis": "how long a test takes", "_pytest": "how long a test takes"}
"""Libraries that may measure real time, because their measurements have no effect on a run."""

_INNER: Final = ("random", "secrets", "uuid", "simulations.world.tripwire")
"""Modules that only pass a question on, so that the asking module is the one before them."""


class TripWireError(AssertionError):
    """Code that runs under the virtual clock has touched the real world."""


class UnboundSocket:
    """Stands for a socket from its making until the virtual loop's `create_connection`. `end`: the connection's end."""

    def __init__(self, *_: object, **__: object) -> None:
        self.end: Any = None

    def setblocking(self, _flag: bool) -> None:
        """Do nothing, because no call on it blocks."""

    def close(self) -> None:
        if self.end is not None:
            self.end.abort()


@contextmanager
def trip_wire(now_s: Callable[[], float], chance: Random) -> Iterator[None]:
    """Keep this thread from the real world until the block ends.

    `now_s`: the virtual wall clock. `chance`: gives libraries their random bytes.
    """
    thread = threading.get_ident()
    state = random.getstate()
    random.seed(chance.getrandbits(64))  # for libraries that spread retries, or draw the four bytes of a ping
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
    """Replace the function `name` of `owner` in this thread until the block ends.

    `instead`: gives the replacement for the module that calls, or None if the call is an error.
    """
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
    """The frame that makes the call, without the frames of modules that only pass it on."""
    frame: Any = sys._getframe(2)
    while frame.f_globals.get("__name__") in _INNER and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _is_among(module: str, names: dict[str, str]) -> bool:
    return module.partition(".")[0] in names
