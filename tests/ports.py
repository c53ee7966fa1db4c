"""Ports of this machine, for tests that name a port before somebody listens there."""

import random
import socket
from contextlib import suppress


def lasting_port() -> int:
    """A free port below those that systems assign, so that nobody else takes it while nobody listens there."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
