"""A user: a key, a host, and HTTP. Every acknowledgement of a node is kept, so that the judges can check it later.

An honest user asks for the head of a label, signs the next record, and sends it (`claim`, `offer`). `put` sends any
record, as a client that is dishonest or out of date does.
"""

import asyncio
from random import Random
from typing import Any, Final

import aiohttp
import msgspec

from node.client.targets import path_of
from protocol.records.push import PUSH_HEADER, sign_push
from protocol.records.record import Record, SignedRecord, make, sign
from protocol.signing import SEED_BYTES, SigningKey
from simulations.cast.machine import Clock, Machine
from simulations.world.simulation import Simulation

DOMAIN: Final = "example.org"
ANSWER_S_MAX: Final = 20.0
"""How long a user waits for an answer, in seconds."""


class Reply(msgspec.Struct, frozen=True):
    """A node's answer about one record. `status`: as in the contract, or `lost` if no answer came."""

    status: str
    code: str | None = None
    verdict: str | None = None
    facts: dict[str, Any] = {}

    @property
    def is_acknowledged(self) -> bool:
        return self.status in ("accepted", "known")


class Acknowledgement(msgspec.Struct, frozen=True):
    """The node of this machine said that it holds this record. `at_s`: time on the loop's clock."""

    machine: str
    record: Record
    at_s: float


def key_of_user(seed: object, name: str) -> SigningKey:
    """The key of the user of this name in the simulation of this seed."""
    return SigningKey(Random(f"{seed} user {name}").randbytes(SEED_BYTES))


class User:
    """One user, on a host of their own. `stream`: random numbers for the user's choices."""

    def __init__(
        self,
        simulation: Simulation,
        name: str,
        acknowledgements: list[Acknowledgement],
        key: SigningKey | None = None,
    ) -> None:
        """`acknowledgements`: gets every acknowledgement that this user is given. All users of a run share it.
        `key`: None: a key of their own.
        """
        self.name = name
        self.key = key or key_of_user(simulation.seed, name)
        self.clock = Clock(simulation.now_s)
        self._acknowledgements = acknowledgements
        self.host = simulation.network.add_host(name)
        self.stream = simulation.stream(f"choices {name}")
        self._trace = simulation.trace

    async def claim(self, machine: Machine, label: str, *, domain: str = DOMAIN, **fields: Any) -> Reply:
        """Found the label, or extend it from the head that this node shows."""
        head = await self.head(machine, label, domain)
        timestamp = int(self.clock.now_s())
        more = {}
        if head is not None:
            timestamp = max(timestamp, head["timestamp"] + 1)
            more["prev"] = head["id"]
        return await self.put(machine, self.sign(label, timestamp, domain=domain, **more, **fields))

    async def offer(self, machine: Machine, label: str, to: "User") -> Reply:
        """Offer the label to another user. The other user accepts it by `claim`."""
        return await self.claim(machine, label, newowner=to.key.public)

    def sign(self, label: str, timestamp: int, *, domain: str = DOMAIN, **fields: Any) -> SignedRecord:
        """Sign a record with these fields, which need not be sensible."""
        body = {"domain": domain, "label": label, "signedby": self.key.public, "timestamp": timestamp, **fields}
        return sign(make(body), self.key)

    async def head(self, machine: Machine, label: str, domain: str = DOMAIN) -> dict[str, Any] | None:
        """The fields of the head that the node shows, and its `id`. None: the label has no head, or no answer came."""
        status, etag, body = await self._ask("GET", machine, path_of("claims", domain, label))
        if status != 200:
            return None
        (record,) = msgspec.json.decode(body).values()
        return {**record, "id": etag.strip('"')}

    async def put(self, machine: Machine, signed: SignedRecord, *, as_peer: bool = False) -> Reply:
        """Send one record: half of the records alone, the others as a batch of one, so that both ways are played.

        `as_peer`: push it as a peer whose node key is this user's key. A push is always a batch.
        """
        record, path, headers = signed.record, "/claims", {}
        body = b'{"%s":%s}' % (signed.signature.encode(), record.canonical)
        if as_peer:
            headers[PUSH_HEADER] = sign_push(self.key, machine.key, body, self.clock.now_s())
        elif int(record.id, 16) % 2:
            path, body = f"/claims/{signed.signature}", record.canonical
        status, _, answer = await self._ask("PUT", machine, path, body, headers)
        return self._note(machine, record, _reply(status, answer, signed.signature))

    async def put_and_wait(self, machine: Machine, signed: SignedRecord, seconds: int) -> Reply:
        """Send one record of a witnessed domain, and prefer an answer when it is final or lost (RFC 7240)."""
        path, headers = f"/claims/{signed.signature}", {"Prefer": f"wait={seconds}"}
        status, _, answer = await self._ask("PUT", machine, path, signed.record.canonical, headers)
        return self._note(machine, signed.record, _reply(status, answer, signed.signature))

    def _note(self, machine: Machine, record: Record, reply: Reply) -> Reply:
        facts = {"node": machine.name, "label": record.label, "id": record.id[:8], "says": reply.code or reply.verdict}
        self._trace.note(self.name, reply.status, **facts)
        if reply.is_acknowledged:
            now_s = asyncio.get_running_loop().time()
            self._acknowledgements.append(Acknowledgement(machine.name, record, now_s))
        return reply

    async def sync(self, machine: Machine, direction: str) -> dict[str, Any]:
        """Ask for a sync run with every peer, as the operator does. Returns each peer's report by its URL, and nothing
        if no answer came.
        """
        headers = {"Authorization": f"Bearer {machine.running.admin_token}"}
        status, _, answer = await self._ask("POST", machine, f"/sync/{direction}", headers=headers)
        return dict(msgspec.json.decode(answer)) if status == 200 else {}

    async def _ask(
        self, method: str, machine: Machine, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str, bytes]:
        """The status, ETag and body of the answer. Status 0: no answer came."""
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
    said = answer.get(signature)
    if said is None:
        return Reply("refused", answer.get("code"))
    return Reply(said.pop("status"), said.pop("code", None), said.pop("verdict", None), said)
