"""The fast path of the two most frequent requests: one claim is put, one head is read.

It takes only plain requests (`node.http_api.plain_request`): without a query, and with no headers but those that change
nothing here. Conditions, proofs, preferences, origins of pages and traces of proxies go aiohttp's way. Limits, quotas,
meters and counters are the same on both ways, and a test compares the answers.
"""

import asyncio
import re
from collections.abc import Collection
from typing import Final

import msgspec
from aiohttp import web

from node.fairness.byte_budget import ByteBudget
from node.http_api.answers.json_answer import CERTAINTY_HEADER, PRIVATE_JSON
from node.http_api.answers.problems import fault, problem_of
from node.http_api.answers.spelled import lines_of, spell, spell_response
from node.http_api.eagerly import Eager
from node.http_api.failure import failure_of
from node.http_api.fast_connection import FastConnection
from node.http_api.handlers.read import HEAD_HEADERS, find_head
from node.http_api.handlers.write import SINGLE_S, answer_one, status_of
from node.http_api.plain_request import KnownHeaders, PlainRequest
from node.http_api.requests.caller import plain_origin
from node.http_api.requests.parts import ApiParts
from node.http_api.requests.patience import Patience, away
from node.http_api.requests.request_meter import RequestMeter
from node.intake.arrivals import Origin, Submission
from protocol.errors import ProtocolError
from protocol.records.outcome import Outcome

_CLAIM: Final = re.compile(r"/claims/([\w-]+)", re.ASCII)
_HEAD: Final = re.compile(r"/claims/(\w[\w.-]*)/([\w@][\w.@~-]*)", re.ASCII)
"""Paths of names that are spelled alike with and without percent signs, and that no dots shorten."""

CLAIM_PATH: Final = "/claims/{name}"
HEAD_PATH: Final = "/claims/{domain}/{label}"

_HEAD_LINES: Final = lines_of(HEAD_HEADERS)


class ClaimsFastPath:
    """Answers single claims and heads. `taken` counts the requests that it took. `known_headers` are those of all
    connections.
    """

    def __init__(
        self,
        parts: ApiParts,
        bodies: ByteBudget,
        meter: RequestMeter,
        write_origins: Collection[str],
        patience: Patience | None,
    ) -> None:
        """`bodies` is the memory for all bodies of requests, `meter` that of all reads. `patience` is None if the
        database cannot be away.
        """
        self.taken = 0
        self.known_headers = KnownHeaders()
        self._parts = parts
        self._bodies = bodies
        self._meter = meter
        self._patience = patience
        self._eager = Eager()
        self._outcome_headers = {**PRIVATE_JSON, "Vary": "Origin"} if write_origins else PRIVATE_JSON
        self._outcome_lines = lines_of(self._outcome_headers)

    def take(self, connection: FastConnection, request: PlainRequest) -> bool:
        if request.method == "PUT" and self._parts.relay is None:
            named = _CLAIM.fullmatch(request.path)
        else:
            named = _HEAD.fullmatch(request.path) if request.method == "GET" else None
        if named is None:
            return False
        origin = self._origin_of(connection, request.host)
        if origin is None:
            return False
        if self._patience is not None and self._patience.for_method(request.method).is_away:
            return False
        if request.method == "PUT":
            return self._put(connection, named[1], request.body, origin)
        self._begin(connection)
        reading = self._show(connection, named[1], named[2], origin.address)
        task = self._eager.run(reading)
        if task is not None and self._patience is not None:
            self._patience.reads.begin(task, task.cancel)
            task.add_done_callback(self._patience.reads.end)
        return True

    def _begin(self, connection: FastConnection) -> None:
        self.taken += 1
        connection.begin()

    def _origin_of(self, connection: FastConnection, host: str) -> Origin | None:
        """Who calls. Looked up once for each connection, as long as its requests name the same host."""
        if connection.caller is None or connection.caller[0] != host:
            peername = connection.peername
            remote = str(peername[0]) if isinstance(peername, tuple) else ""
            connection.caller = (host, plain_origin(self._parts, remote, host))
        origin: Origin | None = connection.caller[1]
        return origin

    def _put(self, connection: FastConnection, signature: str, body: bytes, origin: Origin) -> bool:
        size_bytes = len(body)
        if size_bytes > self._bodies.left_bytes(origin.address):
            return False  # another body may have to give way
        if origin.address is not None:
            crowd, now_s = self._parts.crowd, asyncio.get_running_loop().time()
            if crowd.wait_s(origin.address, now_s) > 0:
                return False
            crowd.spend(origin.address, SINGLE_S, now_s)
        self._begin(connection)
        self._bodies.add(origin.address, size_bytes)
        put = _Put(self, connection, signature, size_bytes, origin)
        if self._patience is not None:
            self._patience.writes.begin(put, lambda: put.set_exception(away()))
        try:
            self._parts.ingest.begin_one(Submission(signature, body), origin, put)
        except Exception as error:
            put.set_exception(error)
        return True

    def end_put(self, put: "_Put", outcome: Outcome) -> None:
        """Answer the request that put a claim."""
        status = status_of(outcome)
        if outcome.code is None:
            body = msgspec.json.encode({outcome.signature: outcome.as_json()})
            self._end_put(put, status, spell(status, self._outcome_lines, body))
        else:
            response = answer_one(outcome)
            response.headers.update(self._outcome_headers)
            self._end_put(put, status, spell_response(response))

    def fail_put(self, put: "_Put", error: Exception) -> None:
        """Answer that the node failed."""
        response = failure_of(self._parts, "PUT", f"/claims/{put.signature}", error)
        self._end_put(put, response.status, spell_response(response))

    def _end_put(self, put: "_Put", status: int, answer: bytes) -> None:
        if self._patience is not None:
            self._patience.writes.end(put)
        self._bodies.add(put.origin.address, -put.size_bytes)
        self._parts.traffic.requests["PUT", CLAIM_PATH, status] += 1
        put.connection.answer(answer)

    async def _show(self, connection: FastConnection, domain: str, label: str, address: str | None) -> None:
        """Answer with the head of a label."""
        try:
            finding = find_head(self._parts, domain, label)
            head = await (finding if address is None else self._meter.answer(address, finding))
            lines = f"{_HEAD_LINES}ETag: {head.etag}\r\n{CERTAINTY_HEADER}: {head.certainty}\r\n"
            status, answer = 200, spell(200, lines, head.body)
        except asyncio.CancelledError:
            if self._patience is None or not self._patience.reads.is_away:
                connection.force_close()
                raise
            response = self._explain(domain, label, away())
            status, answer = response.status, spell_response(response)
        except Exception as error:
            response = self._explain(domain, label, error)
            status, answer = response.status, spell_response(response)
        self._parts.traffic.requests["GET", HEAD_PATH, status] += 1
        connection.answer(answer)

    def _explain(self, domain: str, label: str, error: Exception) -> web.Response:
        if isinstance(error, ProtocolError):
            return problem_of(error, is_public=True)
        return fault("GET", f"/claims/{domain}/{label}", error)


class _Put:
    """A request that waits for the outcome of its claim (see `node.intake.gathering.Caller`)."""

    __slots__ = ("_is_told", "_path", "connection", "origin", "signature", "size_bytes")

    def __init__(
        self, path: ClaimsFastPath, connection: FastConnection, signature: str, size_bytes: int, origin: Origin
    ) -> None:
        self._path = path
        self._is_told = False
        self.connection = connection
        self.signature = signature
        self.size_bytes = size_bytes
        self.origin = origin

    def done(self) -> bool:
        """Whether the request was refused meanwhile. If its client has gone, `FastConnection.answer` notices."""
        return self._is_told

    def set_result(self, outcome: Outcome) -> None:
        """Answer. Other requests of the group are told next, so a fault in here must not reach the caller."""
        self._is_told = True
        try:
            self._path.end_put(self, outcome)
        except Exception as error:
            fault("PUT", f"/claims/{self.signature}", error)
            self.connection.force_close()

    def set_exception(self, error: Exception) -> None:
        if isinstance(error, ProtocolError):
            self.set_result(Outcome.refused(self.signature, error))
        else:
            self._is_told = True
            self._path.fail_put(self, error)

    def cancel(self) -> None:
        """The node stops."""
        self.connection.force_close()
