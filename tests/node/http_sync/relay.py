"""A relay in front of a node. A test cuts its connections, as a network does, while the port stays the same."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


class Relay:
    """Forwards bytes both ways between clients of `url` and the node behind it."""

    def __init__(self, node_url: str) -> None:
        parts = urlsplit(node_url)
        self._target = (str(parts.hostname), parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def cut(self) -> None:
        """End all connections, at once."""
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        passing: list[threading.Thread] = []
        with contextlib.suppress(OSError):
            while True:
                ends = (self._listener.accept()[0], socket.create_connection(self._target))
                self._open += ends
                passing += [threading.Thread(target=_pass_on, args=pair) for pair in (ends, ends[::-1])]
                for thread in passing[-2:]:
                    thread.start()
        self.cut()
        for thread in passing:
            thread.join()
        for end in self._open:
            end.close()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def relaying(node_url: str) -> Iterator[Relay]:
    relay = Relay(node_url)
    try:
        yield relay
    finally:
        relay.close()
