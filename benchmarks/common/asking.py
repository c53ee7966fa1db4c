"""Sends prepared requests over several connections. The benchmarks of single requests share it.

A real HTTP client takes longer than the servers that it measures, and the client shares their cores. So a connection
writes bytes that are ready, counts the bytes of the answer, and writes the next request. The sockets are blocking ones
behind one `epoll`, because an event loop needs more processor time for a request.

The benchmarks are about connections that stay open. So the clock begins when all connections are open, and ends with
the last answer.
"""

import select
import socket
import time
from collections.abc import Iterable
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

TIMEOUT_S: Final = 60.0
"""Seconds without any answer, after which the server counts as dead."""

_READ_BYTES_MAX: Final = 65_536
_HEAD_ENDS: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\nContent-Length: "


class Asked(NamedTuple):
    """Requests that were answered. `client_s` is the client's processor time. Both times are in seconds."""

    answers: int
    seconds: float
    client_s: float

    @property
    def each_second(self) -> float:
        return self.answers / self.seconds

    @property
    def client_us(self) -> float:
        """Microseconds of the client's processor time for each request."""
        return self.client_s / self.answers * 1e6


class Connections:
    """Open connections to one server. Each has at most one request under way."""

    def __init__(self, url: str, count: int) -> None:
        """Open them. Each connection asks once, because only an answer shows that the server has accepted it.

        `host` is what the requests have to say in their `Host`.

        Raises:
            OSError: the server cannot be reached.
        """
        parts = urlsplit(url)
        self.host = parts.netloc
        address = (str(parts.hostname), parts.port or 80)
        self._open = {each.socket.fileno(): each for each in (_Connection(address) for _ in range(count))}
        self._poll = select.epoll()
        for number in self._open:
            self._poll.register(number, select.EPOLLIN)
        opening = f"GET /health HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode()
        self._ask([opening] * count, b"HTTP/1.1 ", None)  # a server of one answer has no such page

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._poll.close()
        for connection in self._open.values():
            connection.socket.close()

    def ask(self, requests: Iterable[bytes], status: int, taken_s: list[float] | None = None) -> Asked:
        """Send the requests, and return when all are answered.

        `status`: that of every answer. `taken_s`: gets the seconds of each request; None: nobody wants to know.

        Raises:
            ConnectionError: another status, or the server closed a connection.
            TimeoutError: the server answers nothing for `TIMEOUT_S`.
        """
        begun_s, client_begun_s = time.perf_counter(), time.thread_time()
        answers = self._ask(requests, f"HTTP/1.1 {status} ".encode(), taken_s)
        return Asked(answers, time.perf_counter() - begun_s, time.thread_time() - client_begun_s)

    def _ask(self, requests: Iterable[bytes], status: bytes, taken_s: list[float] | None) -> int:
        """Returns the number of answers. `status`: how each of them begins."""
        waiting, answers, under_way = iter(requests), 0, 0
        for connection, request in zip(self._open.values(), waiting, strict=False):
            connection.send(request)
            under_way += 1
        while under_way:
            readable = self._poll.poll(TIMEOUT_S)
            if not readable:
                raise TimeoutError(f"no answer within {TIMEOUT_S} s")
            for number, _ in readable:
                connection = self._open[number]
                if not connection.receive(status):
                    continue
                answers += 1
                if taken_s is not None:
                    taken_s.append(time.perf_counter() - connection.asked_s)
                following = next(waiting, None)
                if following is None:
                    under_way -= 1
                else:
                    connection.send(following)
        return answers


class _Connection:
    """One connection. `asked_s` is when its last request was sent."""

    __slots__ = ("_received", "asked_s", "socket")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(None)  # with a timeout, each call would wait for the socket by itself
        self.asked_s = 0.0
        self._received = b""

    def send(self, request: bytes) -> None:
        self.asked_s = time.perf_counter()
        self.socket.sendall(request)

    def receive(self, status: bytes) -> bool:
        """Read what has come. Returns whether the answer is whole.

        Raises:
            ConnectionError: the answer does not begin with this status, or the server closed the connection.
        """
        read = self.socket.recv(_READ_BYTES_MAX)
        if not read:
            raise ConnectionError("the server closed the connection")
        received = self._received + read if self._received else read
        head_bytes = received.find(_HEAD_ENDS)
        if head_bytes >= 0 and not received.startswith(status):
            raise ConnectionError(f"not the answer expected: {received[:400]!r}")
        is_whole = head_bytes >= 0 and len(received) >= head_bytes + len(_HEAD_ENDS) + _content_length(received)
        self._received = b"" if is_whole else received
        return is_whole


def _content_length(head: bytes) -> int:
    start = head.index(_LENGTH) + len(_LENGTH)
    return int(head[start : head.index(b"\r", start)])
