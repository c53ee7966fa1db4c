"""Connections: a limit on how many are open, and a short answer to a connection past the limit.

A connection costs a file descriptor and some kilobytes before it has sent anything. So the limit applies where a
connection is made, with TLS before its handshake. A refused connection gets an answer in HTTP and a moment to read the
answer: if the socket closed while an unread request lay in it, the kernel would send a reset, and the client would lose
the answer. The number of these moments is limited too. `GET /health` is answered even so, because otherwise strangers
could make an orchestrator restart the node.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, Protocol, cast

import msgspec

from node.fairness.addresses import Address, network_of, parse_address
from node.fairness.places import Guest, Places, Source
from node.fairness.prices import Price
from node.http_api.input_meter import InputMeter
from node.http_api.requests.parts import ApiParts
from protocol.errors import Code

LINGER_S: Final = 1.0
"""Seconds that a refused connection stays open to send its request and read the answer."""

HANDSHAKE_S: Final = 0.0005
"""What a TLS handshake costs, in seconds of a core. So one address may begin 200 a second."""

LINGERING_MAX: Final = 64
"""Refused connections that may be open at once. If there is another one, the oldest is cut off."""

RETRY_AFTER_S: Final = 5

_HEALTH_REQUESTS: Final = (b"GET /health ", b"HEAD /health ")


class Abortable(Protocol):
    """A connection that can be cut off, whatever its state."""

    def abort(self) -> None: ...


def raw_answer(status: HTTPStatus, content_type: str, body: object, retry_after_s: int = RETRY_AFTER_S) -> bytes:
    """A whole answer in HTTP/1.1, for a connection that the server behind does not know. `body` becomes JSON."""
    encoded = msgspec.json.encode(body)
    retry_after = f"Retry-After: {retry_after_s}\r\n" if status is HTTPStatus.SERVICE_UNAVAILABLE else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(encoded)}\r\n{retry_after}Connection: close\r\n\r\n"
    )
    return head.encode() + encoded


def raw_problem(status: HTTPStatus, code: Code, detail: str, **facts: object) -> bytes:
    """The same for a problem (see `answers.problems`)."""
    problem = {"type": "about:blank", "title": status.phrase, "status": status.value, "code": code, "detail": detail}
    return raw_answer(status, "application/problem+json", problem | facts)


REFUSAL: Final = raw_problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    Code.OVERLOADED,
    "too many connections are open here, in all or from your address: close some, or come back later",
    retry_after=RETRY_AFTER_S,
)


def source_of(parts: ApiParts, peername: object) -> Source:
    """Where a connection comes from. `peername` is that of its socket, of which the first item is the address."""
    remote = parse_address(str(peername[0])) if isinstance(peername, tuple) and peername else None
    if remote is None:  # no internet socket, or it has closed already
        return Source("")
    network = network_of(remote)
    if is_gateway(parts, remote):
        return Source(network, has_share=False)
    if remote.is_loopback and parts.settings.loopback_trusted:
        return Source(network, is_stranger=False, has_share=False)
    return Source(network, is_stranger=not parts.links.is_listed_network(network))


def is_gateway(parts: ApiParts, remote: Address) -> bool:
    """Whether this is the address of a proxy of the operator, so that it brings many callers.

    A setting that only ends the trust in loopback says the same: a proxy on this machine adds no header.
    """
    if parts.proxies.is_trusted(remote):
        return True
    settings = parts.settings
    return remote.is_loopback and not settings.loopback_trusted and not settings.trusted_proxies


def health_answer(parts: ApiParts) -> bytes:
    """The answer to `GET /health` on a connection that was refused."""
    problems, warnings = parts.health.problems(), parts.health.public_warnings()
    status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
    body = {"status": "failing" if problems else "ok", "problems": problems, "warnings": warnings}
    return raw_answer(status, "application/json", body)


class ConnectionLimit:
    """Admits connections as long as there are places, and answers the others."""

    def __init__(self, parts: ApiParts, linger_s: float = LINGER_S) -> None:
        """A refused connection is closed after `linger_s` seconds."""
        self.places = Places(parts.settings.connections_max)
        self.input_meter = InputMeter(crowd=parts.crowd, processor_s=parts.world.processor_s)
        self._handshakes = Price(HANDSHAKE_S, parts.crowd)
        self._parts = parts
        self._linger_s = linger_s
        self._lingering: dict[Abortable, None] = {}
        self._is_closed = False

    def source_of(self, peername: object) -> Source:
        return source_of(self._parts, peername)

    def enter(self, guest: Guest) -> bool:
        """Give the connection a place. False if there is none."""
        traffic, before = self._parts.traffic, self.places.taken
        is_in = not self._is_closed and self.places.enter(guest)
        traffic.connections += self.places.taken - before
        if not is_in:
            self.count_refused()
        return is_in

    def may_shake_hands(self, source: Source) -> bool:
        """Whether this caller may begin a TLS handshake now, which counts then.

        If not, close the connection without a word, because even a refusal over TLS would cost the handshake.
        """
        is_paid = self._handshakes.charge(source)
        if not is_paid:
            self.count_refused()
        return is_paid

    def leave(self, guest: Guest) -> None:
        """The connection has closed. Without effect if it gave its place back before."""
        self._parts.traffic.connections -= self.places.leave(guest)

    def refuse(self, transport: asyncio.Transport) -> None:
        """Answer a connection that got no place, and close it."""
        if self._is_closed:  # the kernel had accepted it before the server stopped, and nothing else closes it
            transport.abort()
            return
        self.linger(transport)
        transport.set_protocol(_Refused(transport, self.forget, lambda: health_answer(self._parts), self._linger_s))

    def linger(self, one: Abortable) -> None:
        """Count a refused connection until it closes. If there are too many, the oldest is cut off."""
        self._lingering[one] = None
        if len(self._lingering) > LINGERING_MAX:
            oldest = next(iter(self._lingering))
            self.forget(oldest)
            oldest.abort()

    def forget(self, one: Abortable) -> None:
        """A refused connection has closed."""
        self._lingering.pop(one, None)

    def close(self) -> None:
        """Cut off all refused connections, all that have no request under way, and every connection that still
        comes.
        """
        self._is_closed = True
        for one in list(self._lingering):
            one.abort()
        for guest in self.places.guests():
            if guest.waiting_since_s() is not None:
                guest.close_for_another()

    def count_refused(self) -> None:
        """Count a connection that got no place."""
        self._parts.traffic.connections_refused += 1
        self._parts.traffic.turned_away_s = self._parts.world.now_s()


class Refusing(asyncio.Protocol):
    """A connection without a place, until its handshake has ended."""

    def __init__(self, limit: ConnectionLimit) -> None:
        self._limit = limit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._limit.refuse(cast("asyncio.Transport", transport))


class _Refused(asyncio.Protocol):
    """A refused connection: it gets its answer when it has sent something, and is ignored until it closes."""

    def __init__(
        self,
        transport: asyncio.Transport,
        forget: Callable[[Abortable], None],
        answer_health: Callable[[], bytes],
        linger_s: float,
    ) -> None:
        """`forget` is called with the transport when it has closed."""
        self._transport = transport
        self._forget = forget
        self._answer_health = answer_health
        self._is_answered = False
        self._end = asyncio.get_running_loop().call_later(linger_s, self._on_end)

    def data_received(self, data: bytes) -> None:
        if not self._is_answered:
            self._answer(self._answer_health() if data.startswith(_HEALTH_REQUESTS) else REFUSAL)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._end.cancel()
        self._forget(self._transport)

    def _answer(self, answer: bytes) -> None:
        self._is_answered = True
        self._transport.write(answer)
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _on_end(self) -> None:
        """A client that has sent nothing is told too: it may be about to."""
        if not self._is_answered:
            self._answer(REFUSAL)
        self._transport.abort()
