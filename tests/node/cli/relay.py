"""A relay in front of a real node that holds an answer in the middle."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.node.cli.conftest import TIMEOUT_S

_PIECE_BYTES = 65_536


class Relay(NamedTuple):
    """Where the relay listens, whether it holds an answer now, and whether it may go on."""

    url: str
    holds: threading.Event
    go_on: threading.Event


@contextlib.contextmanager
def held(url: str, passed_bytes: int, requests: int = 1) -> Iterator[Relay]:
    """A relay to the node for one connection. It holds what follows these bytes of the answer to the last request."""
    target = urlsplit(url)
    holds, go_on = threading.Event(), threading.Event()

    ends: list[socket.socket] = []

    def relay() -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as closing:  # either side may have ended
            near = closing.enter_context(listener.accept()[0])
            # The node is asked no earlier: it ends connections on which no request comes in time.
            far = closing.enter_context(socket.create_connection((target.hostname, target.port)))
            ends.append(far)
            for _ in range(requests - 1):
                far.sendall(near.recv(_PIECE_BYTES))
                near.sendall(far.recv(_PIECE_BYTES))
            far.sendall(near.recv(_PIECE_BYTES))
            passed = 0
            while piece := far.recv(_PIECE_BYTES):
                passed += len(piece)
                with contextlib.suppress(OSError):  # the command may have ended
                    near.sendall(piece)
                if passed > passed_bytes:
                    holds.set()
                    go_on.wait(TIMEOUT_S)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=relay)
        thread.start()
        try:
            yield Relay(f"http://127.0.0.1:{listener.getsockname()[1]}", holds, go_on)
        finally:
            go_on.set()
            for each in (listener, *ends):
                with contextlib.suppress(OSError):  # the other side may have ended it
                    each.shutdown(socket.SHUT_RDWR)
            thread.join()
