"""A client of a node for tests, and how tests read its answers."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Self

import aiohttp
import msgspec
from yarl import URL

from node.node import Node
from protocol.records.record import Record, SignedRecord
from protocol.signing import SigningKey
from tests.history import ALICE, claim, signed

NOW = 1_000_000
"""The time of the node's clock, in seconds since the Unix epoch."""

BATCH_RECORDS_MAX = 1_000


class Answer(msgspec.Struct, frozen=True):
    """An answer with its whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body. It must be JSON that repeats no key."""
        return json.loads(self.body, object_pairs_hook=_unique)

    @property
    def refusal(self) -> tuple[int, str]:
        """The status and the code of a problem."""
        assert self.headers["Content-Type"] == "application/problem+json"
        problem = self.json()
        assert problem["status"] == self.status
        return self.status, problem["code"]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({key for key, _ in pairs}) == len(pairs)
    return dict(pairs)


class Client:
    """Sends paths exactly as a test spells them. `connector` opens its connections, None: in the ordinary way."""

    def __init__(self, url: str, connector: aiohttp.BaseConnector | None = None) -> None:
        self.url = url
        self._session = aiohttp.ClientSession(connector=connector)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        url = URL(self.url + path, encoded=True)
        body = io.BytesIO(body) if isinstance(body, bytes) else body
        async with self._session.request(method, url, data=body, headers=headers) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.send("GET", path, None, headers)

    async def put(self, record: Record, headers: Mapping[str, str] | None = None) -> Answer:
        one = signed(record)
        return await self.send("PUT", f"/claims/{one.signature}", record.canonical, headers)

    async def put_batch(self, records: Sequence[Record], headers: Mapping[str, str] | None = None) -> Answer:
        return await self.send("PUT", "/claims", batch(map(signed, records)), headers)

    async def import_all(self, node: Node, records: Sequence[Record]) -> None:
        """Give the node these records, whatever their age."""
        for begin in range(0, len(records), BATCH_RECORDS_MAX):
            answer = await self.put_batch(records[begin : begin + BATCH_RECORDS_MAX], as_admin(node))
            assert {outcome["status"] for outcome in answer.json().values()} == {"accepted"}


def batch(records: Any) -> bytes:
    """The body of a batch of these signed records."""
    return b"{%s}" % b",".join(entry(one) for one in records)


def entry(one: SignedRecord) -> bytes:
    return b'"%s":%s' % (one.signature.encode(), one.record.canonical)


def as_admin(node: Node) -> dict[str, str]:
    return {"Authorization": f"Bearer {node.admin_token}"}


def shown(*records: Record) -> list[tuple[str, Any]]:
    """The items of a JSON dict of these claims, in order."""
    return [(signed(record).signature, json.loads(record.canonical)) for record in records]


def listed(answer: Answer) -> list[tuple[str, Any]]:
    """The items of an answer that is a dict of claims, in order."""
    return list(answer.json().items())


def fresh(label: str = "garden", by: SigningKey = ALICE, **fields: Any) -> Record:
    """A claim that founds a label now."""
    return claim(label, by, at=NOW, **fields)
