"""Witnessed domains: races that do not end, because the witnesses do not run, and attackers who are witnesses."""

import asyncio
import io
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

import aiohttp
import pytest

from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey
from protocol.witness.admission import ROUNDS_MAX
from protocol.witness.policy import make_policy
from protocol.witness.receipt import BALLOTS_MAX, receipt_label
from tests.attack.harness import IS_LONG, Attack, Wires, attacked, attacker, check, give, measure
from tests.attack.pace import pause
from tests.attack.test_requests import request
from tests.node.http_api.talking import batch

ADDRESSES = 8
WAITING = 256
RIVALS = 15
"""One less than a label may have."""

PAUSE_S = 0.1
RECEIPTS = 500 if IS_LONG else 20
RECEIPTS_AT_ONCE = 50
"""As many as a node takes of one witness in a second."""

CHAINS = 8 if IS_LONG else 1
OK = 200

LONG = 10_000 if IS_LONG else 1_000
"""Records of a long label."""

FORKED = 5_000 if IS_LONG else 100
"""Receipts that contradict others; twice, on places that are known and on one that is not."""

VOTING = ROUNDS_MAX // BALLOTS_MAX if IS_LONG else 5
"""Receipts that vote for one record in 400 rounds each."""

_WAIT = b"Prefer: wait=30\r\n"


def key_of(number: int) -> SigningKey:
    return SigningKey(number.to_bytes(32, "big"))


def put(record: SignedRecord, headers: bytes = b"") -> bytes:
    return request("PUT", f"/claims/{record.signature}", record.record.canonical, headers)


def rival(domain: str, label: str, number: int) -> SignedRecord:
    fields = {"domain": domain, "label": label, "signedby": key_of(number).public, "timestamp": int(time.time())}
    return sign(make(fields), key_of(number))


def waiting(number: int, records: list[SignedRecord]) -> Attack:
    """Ask for the end of the race again and again."""
    text = put(records[number % len(records)], _WAIT)

    async def attack(wires: Wires) -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await wires.connect(attacker(number, ADDRESSES))
                writer.write(text)
                await reader.readuntil(b"\r\n\r\n")
                writer.transport.abort()
            await pause(PAUSE_S)

    return attack


async def test_clients_that_wait_for_a_race_that_does_not_end(tmp_path: Path) -> None:
    policy = make_policy([key_of(number).public for number in range(1, 5)], 1)
    domain = f"org.example.{policy.name}"
    fields = {"domain": domain, "label": "@policy", "signedby": key_of(9).public, "timestamp": int(time.time())}
    records = [rival(domain, "garden", number) for number in range(10, 10 + RIVALS)]

    async def putting(wires: Wires) -> None:
        """Put rivals in the same label, most of which are refused, and claims of other labels."""
        reader, writer = await wires.connect(attacker(0, ADDRESSES))
        for number in count(100):
            writer.write(put(rival(domain, "garden", number)) + put(rival(domain, f"other-{number}", number)))
            await reader.read(65_536)

    with attacked(tmp_path) as node:
        await give(node, [sign(make(fields | policy.fields), key_of(9)), *records])
        cost = await measure(node, putting, *[waiting(number, records) for number in range(WAITING)])
        check(f"{WAITING} connections of {ADDRESSES} addresses that wait for a race", cost)


def own_domain(number: int) -> tuple[str, SignedRecord]:
    """A domain whose only witness is the attacker, and its policy record."""
    policy = make_policy([key_of(number).public], 0)
    domain = f"org.example.{policy.name}"
    fields = {"domain": domain, "label": "@policy", "signedby": key_of(9).public, "timestamp": int(time.time())}
    return domain, sign(make(fields | policy.fields), key_of(9))


def chain(domain: str, label: str, length: int) -> list[SignedRecord]:
    """A label of so many records, each of which follows the one before."""
    records: list[SignedRecord] = []
    fields = {"domain": domain, "label": label, "signedby": key_of(9).public, "timestamp": int(time.time())}
    for number in range(length):
        prev = {"prev": records[-1].record.id} if records else {}
        records.append(sign(make(fields | prev | {"n": number}), key_of(9)))
    return records


@pytest.mark.parametrize("what", ["history", "proof"] if IS_LONG else ["history"])
async def test_long_labels_of_domains_of_the_attacker(tmp_path: Path, what: str) -> None:
    domain, policy = own_domain(1)
    records = chain(domain, "long", LONG)

    async def attack(wires: Wires) -> None:
        await wires.open(100, 20, request("GET", f"/claims/{domain}/long/{what}"))

    with attacked(tmp_path) as node:
        await give(node, [policy, *records])
        check(f"100 requests for the {what} of {LONG} witnessed records", await measure(node, attack))


def naming(domain: str, witness: int, ids: int, receipts: int) -> list[SignedRecord]:
    """A chain of receipts of this witness, each of which names records that nobody has."""
    key, made = key_of(witness), list[SignedRecord]()
    for number in range(receipts):
        at = int(time.time()) * 1_000 + number - receipts
        named = [f"{witness * 10**9 + number * ids + each:064x}" for each in range(ids)]
        said = {"first": dict.fromkeys(named[: ids // 2], at), "commit": {"0": named[ids // 2 :]}}
        more = {"prev": made[-1].record.id} if made else {}
        fields = {"domain": domain, "label": receipt_label(key.public), "signedby": key.public, "at": at}
        made.append(sign(make(fields | {"timestamp": at // 1_000} | said | more), key))
    return made


async def is_taken(session: aiohttp.ClientSession, url: str, body: bytes) -> bool:
    async with session.put(url, data=io.BytesIO(body)) as answer:
        return answer.status == OK


def putting(number: int, bodies: list[bytes]) -> Attack:
    """Put these batches one after the other, each until the node takes it."""

    async def attack(wires: Wires) -> None:
        connector = aiohttp.TCPConnector(local_addr=(attacker(number, ADDRESSES), 0))
        async with aiohttp.ClientSession(connector=connector) as session:
            for body in bodies:
                while not await is_taken(session, f"{wires.node.url}/claims", body):
                    await pause(PAUSE_S)
        await asyncio.Event().wait()

    return attack


async def test_floods_of_domains_of_the_attacker(tmp_path: Path) -> None:
    """Receipts of 64 KiB that name 800 records each, and chains of 1,000 records in one batch."""
    attacks = []
    for number in range(ADDRESSES // 2):
        domain, policy = own_domain(number + 1)
        receipts = naming(domain, number + 1, 800, RECEIPTS)
        parts = (receipts[begin : begin + RECEIPTS_AT_ONCE] for begin in range(0, RECEIPTS, RECEIPTS_AT_ONCE))
        attacks.append(putting(number, [batch([policy]), *map(batch, parts)]))
    for number in range(ADDRESSES // 2, ADDRESSES):
        domain, policy = own_domain(number + 1)
        chains = [chain(domain, f"chain-{each}", 1_000) for each in range(CHAINS)]
        attacks.append(putting(number, [batch([policy]), *map(batch, chains)]))
    with attacked(tmp_path) as node:
        check("floods of receipts and of chains in domains of the attacker", await measure(node, *attacks))


def receipts_on(domain: str, witness: int, prevs: Sequence[str | None], **said: object) -> list[SignedRecord]:
    """A receipt of this witness on each `prev`, which says this."""
    key, at = key_of(witness), int(time.time()) * 1_000 - len(prevs)
    fields = {"domain": domain, "label": receipt_label(key.public), "signedby": key.public}
    made = []
    for number, prev in enumerate(prevs, at):
        times = {"at": number, "timestamp": number // 1_000}
        made.append(sign(make(fields | times | said | ({} if prev is None else {"prev": prev})), key))
    return made


def votes_for(domain: str, witness: int, record_id: str, receipts: int) -> list[SignedRecord]:
    """Receipts that vote for this record in 400 rounds each."""
    made: list[SignedRecord] = []
    for number in range(receipts):
        rounds = {str(number * BALLOTS_MAX + each): [record_id] for each in range(1, BALLOTS_MAX + 1)}
        prev = made[-1].record.id if made else None
        made += receipts_on(domain, witness, [prev], vote=rounds, n=number)
    return made


def asking(number: int, target: str) -> Attack:
    """Ask for this again and again over one connection."""
    text = request("GET", target)

    async def attack(wires: Wires) -> None:
        reader, writer = await wires.connect(attacker(number, ADDRESSES))
        while True:
            writer.write(text)
            await writer.drain()
            await reader.read(65_536)

    return attack


async def test_forks_and_votes_in_many_rounds_of_a_witness_that_lies(tmp_path: Path) -> None:
    """Everybody may ask what a witness said, and it may contradict itself and vote as often as it likes."""
    domain, policy = own_domain(1)
    founding = rival(domain, "garden", 9)
    forks = receipts_on(domain, 1, [f"{number // 2:064x}" for number in range(FORKED)])
    votes = votes_for(domain, 1, founding.record.id, VOTING)
    more = receipts_on(domain, 1, ["e" * 64] * FORKED)
    parts = [batch(more[begin : begin + RECEIPTS_AT_ONCE]) for begin in range(0, FORKED, RECEIPTS_AT_ONCE)]
    parts.insert(1, batch([rival(domain, "garden", 10)]))  # only with a rival are votes compared
    targets = (f"/witnesses?domain={domain}", f"/claims/{domain}/garden/history")
    with attacked(tmp_path) as node:
        await give(node, [policy, founding, *votes, *forks])
        asks = [asking(number, targets[number % 2]) for number in range(ADDRESSES)]
        cost = await measure(node, putting(ADDRESSES, parts), *asks)
        check(f"{2 * FORKED} forks, and votes in {VOTING * BALLOTS_MAX} rounds, of a witness that lies", cost)
