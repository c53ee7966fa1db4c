"""A user: a key, a machine, and HTTP. What a node acknowledges is remembered, so that it can be held to it.

An honest user asks for the head, signs what follows it, and sends it. `put` sends whatever it is given, as a client
that is not honest, or not up to date, would.
"""

import asyncio
from typing import Any, Final

import aiohttp
import msgspec

from node.client.http import path_of
from protocol.records.push import PUSH_HEADER, sign_push
from protocol.records.record import Record, SignedRecord, make, sign
from protocol.signing import SEED_BYTES, SigningKey
from simulations.cast.machine import Clock, Machine
from simulations.world.simulation import Simulation

DOMAIN: Final = "example.org"
ANSWER_S_MAX: Final = 20.0


class Reply(msgspec.Struct, frozen=True):
    """What a node said of one record: `status` as in the contract, `lost` where no answer came."""

    status: str
    code: str | None = None
    verdict: str | None = None
    facts: dict[str, Any] = {}

    @property
    def is_acknowledged(self) -> bool:
        return self.status in ("accepted", "known")


class Acknowledgement(msgspec.Struct, frozen=True):
    """A node said that it holds this record; `at_s` on the loop's clock."""

    machine: str
    record: Record
    at_s: float


class User:
    """One user, on a host of their own. `acknowledgements` may be shared by many."""

    def __init__(self, simulation: Simulation, name: str, acknowledgements: list[Acknowledgement]) -> None:
        self.name = name
        self.key = SigningKey(simulation.stream(f"user {name}").randbytes(SEED_BYTES))
        self.clock = Clock(simulation.now_s)
        self._acknowledgements = acknowledgements
        self.host = simulation.network.add_host(name)
        self.stream = simulation.stream(f"choices {name}")
        self._trace = simulation.trace

    async def claim(self, machine: Machine, label: str, *, domain: str = DOMAIN, **fields: Any) -> Reply:
        """Found the label, or carry it on from its head as this node shows it."""
        head = await self.head(machine, label, domain)
        timestamp = int(self.clock.now_s())
        more = {}
        if head is not None:
            timestamp = max(timestamp, head["timestamp"] + 1)
            more["prev"] = head["id"]
        return await self.put(machine, self.sign(label, timestamp, domain=domain, **more, **fields))

    async def offer(self, machine: Machine, label: str, to: "User") -> Reply:
        """Offer the label to another user, who takes it by `claim`."""
        return await self.claim(machine, label, newowner=to.key.public)

    def sign(self, label: str, timestamp: int, *, domain: str = DOMAIN, **fields: Any) -> SignedRecord:
        """A record of this user's; anything may be in it."""
        body = {"domain": domain, "label": label, "signedby": self.key.public, "timestamp": timestamp, **fields}
        return sign(make(body), self.key)

    async def head(self, machine: Machine, label: str, domain: str = DOMAIN) -> dict[str, Any] | None:
        """The head as the node shows it, with `id` beside its fields; None: there is none, or no answer."""
        status, etag, body = await self._ask("GET", machine, path_of("claims", domain, label))
        if status != 200:
            return None
        (record,) = msgspec.json.decode(body).values()
        return {**record, "id": etag.strip('"')}

    async def put(self, machine: Machine, signed: SignedRecord, *, as_peer: bool = False) -> Reply:
        """Send one record; `as_peer`: with this user's key as that of a peer which pushes."""
        body = b'{"%s":%s}' % (signed.signature.encode(), signed.record.canonical)
        headers = {}
        if as_peer:
            headers[PUSH_HEADER] = sign_push(self.key, machine.key, body, self.clock.now_s())
        status, _, answer = await self._ask("PUT", machine, "/claims", body, headers)
        reply = _reply(status, answer, signed.signature)
        record = signed.record
        facts = {"node": machine.name, "label": record.label, "id": record.id[:8], "says": reply.code or reply.verdict}
        self._trace.note(self.name, reply.status, **facts)
        if reply.is_acknowledged:
            now_s = asyncio.get_running_loop().time()
            self._acknowledgements.append(Acknowledgement(machine.name, record, now_s))
        return reply

    async def sync(self, machine: Machine, direction: str) -> dict[str, Any]:
        """Ask for a run with every peer, as the operator: the report of each by its URL; nothing if no answer came."""
        headers = {"Authorization": f"Bearer {machine.running.admin_token}"}
        status, _, answer = await self._ask("POST", machine, f"/sync/{direction}", headers=headers)
        return dict(msgspec.json.decode(answer)) if status == 200 else {}

    async def _ask(
        self, method: str, machine: Machine, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str, bytes]:
        """Status, ETag and body; status 0 where no answer came."""
        try:
            with self.host.here():
                async with (
                    asyncio.timeout(ANSWER_S_MAX),
                    aiohttp.ClientSession() as session,
                    session.request(method, machine.url("http") + path, data=body, headers=headers) as response,
                ):
                    return response.status, response.headers.get("ETag", ""), await response.read()
        except (OSError, TimeoutError, aiohttp.ClientError):
            return 0, "", b""


def _reply(status: int, body: bytes, signature: str) -> Reply:
    if status == 0:
        return Reply("lost")
    answer = msgspec.json.decode(body)
    if status != 200:
        return Reply("refused", answer.get("code"))
    said = answer[signature]
    return Reply(said.pop("status"), said.pop("code", None), said.pop("verdict", None), said)
