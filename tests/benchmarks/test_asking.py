"""The client of the benchmarks counts whole answers of the status that it expects, and no time to open connections."""

import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from benchmarks.common.asking import Connections

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"


@contextmanager
def server(connections: int, *pieces: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Serves this many connections. It answers each request with these pieces. Without a piece, it answers the opening
    of a connection and closes it. Yields the URL, and what was asked after the openings.
    """
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(connections) as threads:
        serving = [threads.submit(_serve, listening, pieces, asked) for _ in range(connections)]
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
        for each in serving:
            each.result()


def _serve(listening: socket.socket, pieces: Sequence[bytes], asked: list[bytes]) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert connection.recv(4_096).startswith(b"GET /health ")
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        while pieces and (request := connection.recv(4_096)):
            asked.append(request)
            for piece in pieces:
                connection.sendall(piece)


def test_each_request_is_sent_once_over_all_connections_and_openings_do_not_count() -> None:
    requests = [b"one", b"two", b"three", b"four"]
    with server(2, HEAD + b"hello") as (url, asked), Connections(url, 2) as connections:
        found = connections.ask(requests, 200)

    assert (found.answers, sorted(asked)) == (4, sorted(requests))
    assert 0 < found.client_s <= found.seconds


def test_an_answer_counts_when_all_of_it_has_come() -> None:
    taken_s: list[float] = []
    with server(1, HEAD[:20], HEAD[20:] + b"he", b"llo") as (url, asked), Connections(url, 1) as connections:
        found = connections.ask([b"one", b"two"], 200, taken_s)

    assert (found.answers, asked) == (2, [b"one", b"two"])
    assert 0 < min(taken_s) <= sum(taken_s) <= found.seconds


def test_another_status_is_an_error() -> None:
    expected = pytest.raises(ConnectionError, match="not the answer expected")
    with server(1, HEAD + b"hello") as (url, _), Connections(url, 1) as connections, expected:
        connections.ask([b"one"], 201)


def test_a_server_that_closes_before_it_answers_is_an_error() -> None:
    with server(1) as (url, _), Connections(url, 1) as connections, pytest.raises(ConnectionError):
        connections.ask([b"one"], 200)
