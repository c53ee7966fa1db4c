"""Ports of this machine, for tests that name a port before somebody listens there."""

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from simulations.processes.port import hold_port


def lasting_port() -> int:
    """A free port below those that systems assign, so that nobody else takes it while nobody listens there."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def held_port() -> Iterator[int]:
    """A port for a node that ends and starts again in this process. Nobody else gets it until the block ends."""
    holder = hold_port()
    if holder is None:
        yield lasting_port()
        return
    with holder:
        yield holder.getsockname()[1]
