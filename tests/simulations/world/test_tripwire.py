"""Code that touches the real world under the trip-wire gets an error that names the line."""

import os
import random
import secrets
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from random import Random

import pytest

from simulations.world.tripwire import TripWireError, trip_wire

EPOCH_S = 1_700_000_000.0

TOUCHES: list[tuple[str, Callable[[], object]]] = [
    ("Thread.start", lambda: threading.Thread(target=print).start()),
    ("time.sleep", lambda: time.sleep(1)),
    ("time.time", lambda: time.time()),
    ("time.monotonic", lambda: time.monotonic()),
    ("time.perf_counter", lambda: time.perf_counter()),
    ("socket.socket", lambda: socket.socket()),
    ("socket.create_connection", lambda: socket.create_connection(("127.0.0.1", 1))),
    ("socket.getaddrinfo", lambda: socket.getaddrinfo("localhost", 1)),
    ("subprocess.Popen", lambda: subprocess.Popen(["true"])),
    ("os.urandom", lambda: os.urandom(4)),
    ("os.urandom", lambda: uuid.uuid4()),
    ("random._urandom", lambda: secrets.token_bytes(4)),
    ("random._urandom", lambda: random.SystemRandom().random()),
]


@pytest.mark.parametrize(("name", "touch"), TOUCHES)
def test_touching_the_real_world_is_an_error_that_names_the_line(name: str, touch: Callable[[], object]) -> None:
    with trip_wire(lambda: 0.0, Random(1)), pytest.raises(TripWireError, match=rf"{name}: the real world") as caught:
        touch()

    assert "uuid.py" in str(caught.value) or "test_tripwire.py:" in str(caught.value)


def test_everything_is_restored_afterwards_even_the_state_of_the_global_random_numbers() -> None:
    state = random.getstate()
    before = (time.time, time.sleep, socket.socket, os.urandom, threading.Thread.start)

    with trip_wire(lambda: 0.0, Random(1)):
        random.random()

    assert (time.time, time.sleep, socket.socket, os.urandom, threading.Thread.start) == before
    assert random.getstate() == state


def test_other_threads_are_not_affected() -> None:
    """A test runner has threads of its own."""
    wait_s_max = 30
    go, read = threading.Event(), list[float]()

    def look() -> None:
        go.wait(wait_s_max)
        read.append(time.time())

    thread = threading.Thread(target=look)
    thread.start()
    with trip_wire(lambda: 0.0, Random(1)):
        go.set()
        thread.join(wait_s_max)

    assert read[0] > 0


def test_exempt_libraries_get_the_virtual_clock_and_random_bytes_of_the_run() -> None:
    from aiohttp.helpers import rfc822_formatted_time
    from websockets.utils import generate_key

    with trip_wire(lambda: EPOCH_S, Random(1)):
        date, key = rfc822_formatted_time(), generate_key()
    with trip_wire(lambda: EPOCH_S, Random(1)):
        again = generate_key()

    assert date == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert key == again
