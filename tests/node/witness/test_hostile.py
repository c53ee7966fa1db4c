"""What strangers and lying witnesses send to a real node has a clear answer, costs little, and is never an error."""

import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from node.intake.witnessed import RECEIPTS_PER_S_MAX
from node.node import Node
from node.settings.settings import Settings
from node.world import World
from protocol.records.quota import BURST_S
from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey
from protocol.witness.admission import FOLLOWERS_MAX, FOUNDINGS_MAX
from protocol.witness.policy import Policy, make_policy
from protocol.witness.receipt import ENTRIES_MAX, receipt_label
from tests.node.http_api.talking import Answer, Client, as_admin, batch

MANY = 10_000
BATCH = 1_000
FLOOD_BYTES_MAX = 4_000
"""Bytes of memory for each receipt of a flood: it is on disk, and a witness may have millions of honest ones."""

WITNESSES = [SigningKey(bytes([number]) * 32) for number in (11, 12, 13, 14)]
LIAR, HONEST = WITNESSES[:2]
ALICE, STRANGER = (SigningKey(bytes([number]) * 32) for number in (1, 9))
POLICY = make_policy([key.public for key in WITNESSES], 1)
DOMAIN = f"com.example.{POLICY.name}"
TOO_MANY_LIARS = Policy(2, POLICY.witnesses)
"""Breaks the rule n >= 3f + 1."""

BROKEN = f"com.example.{TOO_MANY_LIARS.name}"
NOW_S = int(time.time())
NOW_MS = NOW_S * 1_000
UNKNOWN = [f"{number:064x}" for number in range(ENTRIES_MAX)]


def signed(by: SigningKey, label: str = "garden", **fields: Any) -> SignedRecord:
    record = {"domain": DOMAIN, "label": label, "signedby": by.public, "timestamp": NOW_S} | fields
    return sign(make({name: value for name, value in record.items() if value is not None}), by)


def receipt(by: SigningKey = LIAR, at_ms: int = NOW_MS, **said: Any) -> SignedRecord:
    return signed(by, receipt_label(by.public), **{"at": at_ms, "timestamp": at_ms // 1_000} | said)


def policy_record(by: SigningKey = ALICE, **fields: Any) -> SignedRecord:
    return signed(by, "@policy", **POLICY.fields | fields)


def key_of(number: int) -> SigningKey:
    return SigningKey(number.to_bytes(32, "big"))


class Attacked:
    """A node with the policy of the domain, and a client."""

    def __init__(self, node: Node, client: Client) -> None:
        self.node = node
        self.client = client

    async def put(self, it: SignedRecord, **headers: str) -> Answer:
        return await self.client.send("PUT", f"/claims/{it.signature}", it.record.canonical, headers)

    async def put_all(self, records: Sequence[SignedRecord], *, as_peer: bool = False) -> list[str]:
        """The outcome of each record: its code, or its verdict."""
        headers = as_admin(self.node) if as_peer else {}
        outcomes: list[str] = []
        for begin in range(0, len(records), BATCH):
            answer = await self.client.send("PUT", "/claims", batch(records[begin : begin + BATCH]), headers)
            assert answer.status == 200, answer.body
            outcomes += [it.get("code") or it["verdict"] for it in answer.json().values()]
        return outcomes

    async def get(self, path: str) -> Any:
        answer = await self.client.get(path)
        assert answer.status == 200, answer.body
        return answer.json()


@asynccontextmanager
async def attacked(folder: Path, **settings: Any) -> AsyncIterator[Attacked]:
    """The clock of the node stands still, so that no record becomes too old. At the end the node is healthy."""
    world = World(now_s=lambda: NOW_S)
    async with Node(Settings(port=0, data=folder, **settings), world) as node, Client(node.url) as client:
        it = Attacked(node, client)
        assert (await it.put(policy_record())).status in (200, 201, 202)
        yield it
        assert node.health() == []


def tally(outcomes: Iterable[str]) -> dict[str, int]:
    listed = list(outcomes)
    return {each: listed.count(each) for each in dict.fromkeys(listed)}


FORGED = msgspec.structs.replace(receipt(HONEST, first={UNKNOWN[0]: NOW_MS}), signature=receipt(STRANGER).signature)


@pytest.mark.parametrize(
    ("it", "expected"),
    [
        (FORGED, (401, "bad_signature")),
        (receipt(STRANGER, first={UNKNOWN[0]: NOW_MS}), (403, "not_owner")),
        (signed(STRANGER, receipt_label(HONEST.public), at=NOW_MS), (403, "not_owner")),
        (receipt(vote={str(2**53): UNKNOWN[:1]}), (400, "malformed")),
        (receipt(commit={str(2**53): UNKNOWN[:1]}), (400, "malformed")),
        (receipt(timestamp=NOW_S + 1), (400, "malformed")),
        (receipt(seen={UNKNOWN[0]: -1}), (400, "malformed")),
        (receipt(first=dict.fromkeys([*UNKNOWN, "f" * 64], NOW_MS)), (400, "malformed")),
        (policy_record(STRANGER), (409, "stale")),
        (policy_record(faulty=0), (400, "malformed")),
        (signed(STRANGER, "@policy", domain=BROKEN, **TOO_MANY_LIARS.fields), (400, "malformed")),
        (receipt(domain=BROKEN), (403, "not_owner")),
        (signed(STRANGER, "@other"), (400, "malformed")),
    ],
    ids=[
        "a forged receipt",
        "a receipt by a stranger",
        "a stranger in the label of a witness",
        "a vote of round 2^53",
        "a commit of round 2^53",
        "a timestamp that is not that of the clock",
        "a time before the epoch",
        "one entry too many",
        "the same policy again",
        "a policy that the name does not commit to",
        "a policy that breaks its rules",
        "a receipt in a domain without a policy",
        "a reserved label",
    ],
)
async def test_a_client_is_refused_with_a_clear_code(
    tmp_path: Path, it: SignedRecord, expected: tuple[int, str]
) -> None:
    async with attacked(tmp_path) as here:
        answer = await here.put(it)

    assert (answer.status, answer.json()[it.signature]["code"]) == expected


async def test_nothing_is_ordered_in_a_domain_whose_policy_breaks_its_rules(tmp_path: Path) -> None:
    """Four keys cannot outvote two liars, so nobody is a witness there."""
    founded = signed(ALICE, domain=BROKEN)
    receipts = [receipt(key, domain=BROKEN, first={founded.record.id: NOW_MS}) for key in WITNESSES]
    async with attacked(tmp_path) as here:
        policy = signed(ALICE, "@policy", domain=BROKEN, **TOO_MANY_LIARS.fields)
        await here.put_all([policy, founded, *receipts], as_peer=True)
        head = await here.client.get(f"/claims/{BROKEN}/garden")

    assert (head.status, head.json()["code"], head.json()["pending"]) == (404, "unknown_label", True)


async def test_what_a_witness_says_of_records_that_nobody_holds_is_stored_and_changes_no_label(tmp_path: Path) -> None:
    founded = signed(ALICE)
    said: dict[str, Any] = {
        "first": dict.fromkeys(UNKNOWN, NOW_MS),
        "commit": {"0": UNKNOWN[:200], "999999999": UNKNOWN[200:]},
    }
    async with attacked(tmp_path) as here:
        outcomes = await here.put_all([founded, receipt(**said)])
        history = await here.get(f"/claims/{DOMAIN}/garden/history")

    assert outcomes == ["pending", "founded"]
    assert [(each["id"], each["verdict"], each["seen"]) for each in history["records"]] == [
        (founded.record.id, "pending", {})
    ]


async def test_a_chain_with_gaps_dates_nothing_until_the_gaps_are_filled(tmp_path: Path) -> None:
    founded = signed(ALICE)
    chain = [receipt(HONEST, NOW_MS)]
    for number in range(1, 20):
        entry = {"seen": {founded.record.id: NOW_MS + number}} if number == 19 else {}
        chain.append(receipt(HONEST, NOW_MS + number, prev=chain[-1].record.id, **entry))

    async with attacked(tmp_path) as here:
        await here.put_all([founded, *chain[::2], chain[-1]])
        with_gaps = await here.get(f"/claims/{DOMAIN}/garden/history")
        await here.put_all(chain[1::2])
        whole = await here.get(f"/claims/{DOMAIN}/garden/history")

    assert [history["records"][0]["seen"] for history in (with_gaps, whole)] == [{}, {HONEST.public: NOW_MS + 19}]


async def test_ten_thousand_forks_are_one_piece_of_evidence_and_bounded_memory(tmp_path: Path) -> None:
    founded = signed(ALICE)
    forks = [receipt(LIAR, NOW_MS + number, first={founded.record.id: NOW_MS + number}) for number in range(MANY)]
    async with attacked(tmp_path) as here:
        await here.put(founded)
        before_bytes = psutil.Process().memory_info().rss
        outcomes = await here.put_all(forks)
        grown_bytes = psutil.Process().memory_info().rss - before_bytes
        witnesses = (await here.get(f"/witnesses?domain={DOMAIN}"))["witnesses"]

    assert tally(outcomes) == {"founded": MANY}
    assert {each["key"]: len(each["forks"]) for each in witnesses if each["forks"]} == {LIAR.public: 1}
    assert grown_bytes < MANY * FLOOD_BYTES_MAX


async def test_receipts_of_one_witness_from_clients_are_limited_by_the_second(tmp_path: Path) -> None:
    """The bucket of ten seconds does not leak, because the clock stands still."""
    strangers = {"loopback_trusted": False, "trusted_proxies": ["192.0.2.0/24"]}
    burst = round(RECEIPTS_PER_S_MAX * BURST_S)
    flood = [receipt(LIAR, NOW_MS + number) for number in range(burst + 10)]
    async with attacked(tmp_path, **strangers) as here:
        outcomes = await here.put_all(flood)
        of_another = await here.put(receipt(HONEST))
        answer = await here.put(receipt(LIAR, NOW_MS + len(flood)))

    assert tally(sorted(outcomes)) == {"founded": burst + 1, "rate_limited": 9}
    assert of_another.status in (200, 201, 202)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")


async def test_of_a_founding_race_of_ten_thousand_keys_a_few_foundings_wait(tmp_path: Path) -> None:
    async with attacked(tmp_path) as here:
        outcomes = await here.put_all([signed(key_of(number)) for number in range(1, MANY + 1)])
        history = await here.get(f"/claims/{DOMAIN}/garden/history")

    assert tally(outcomes) == {"pending": FOUNDINGS_MAX, "rate_limited": MANY - FOUNDINGS_MAX}
    assert len(history["records"]) == FOUNDINGS_MAX


async def test_one_past_each_bound_of_undecided_records_is_told_to_come_back(tmp_path: Path) -> None:
    in_domain = 100
    founded = signed(ALICE)
    followers = [signed(ALICE, prev=founded.record.id, n=number) for number in range(FOLLOWERS_MAX + 1)]
    foundings = [signed(key_of(number), "tower") for number in range(1, FOUNDINGS_MAX + 2)]
    labels = [signed(ALICE, f"label-{number}") for number in range(in_domain - 1 - FOLLOWERS_MAX - FOUNDINGS_MAX + 1)]
    async with attacked(tmp_path, undecided_max=in_domain) as here:
        await here.put(founded)
        outcomes = [await here.put_all(each) for each in (followers, foundings, labels)]
        answer = await here.put(signed(STRANGER, "one-more"))

    assert [tally(sorted(each)) for each in outcomes] == [
        {"pending": FOLLOWERS_MAX, "rate_limited": 1},
        {"pending": FOUNDINGS_MAX, "rate_limited": 1},
        {"pending": len(labels) - 1, "rate_limited": 1},
    ]
    assert (answer.status, "Retry-After" in answer.headers) == (429, True)
