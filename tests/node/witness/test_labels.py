"""Labels are walked one at a time, because anybody may make a label of their own domain as long as they like."""

import asyncio
from collections.abc import Sequence

from node.store.contract import Store
from node.witness.labels import SHORT_RECORDS, LabelWalks
from protocol.witness.domain import WitnessedDomain
from protocol.witness.policy import make_policy
from protocol.witness.recall import Known, Wanted
from protocol.witness.testimony import Evidence
from tests.history import ALICE, claim
from tests.node.witness.registrar import WITNESS

POLICY = make_policy([WITNESS.public], 0)
NAME = f"com.example.{POLICY.name}"


class SlowStore:
    """A store that holds nothing, and answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: list[asyncio.Event] = []

    async def known(self, domain: str, wanted: Wanted) -> Known:
        self.asked += wanted.labels
        self.answers.append(asyncio.Event())
        await self.answers[-1].wait()
        return Known()

    async def last_said(self, _domain: str, ids: Sequence[str], _quorum: int) -> dict[str, Evidence]:
        self.asked += ids
        self.answers.append(asyncio.Event())
        await self.answers[-1].wait()
        return {}


def as_store(store: SlowStore) -> Store:
    return store  # type: ignore[return-value]  # walks ask a store for parts of a domain only


async def settle() -> None:
    """Let every task go on as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_label_is_walked_at_a_time_for_each_address_in_turn() -> None:
    store, domain = SlowStore(), WitnessedDomain(NAME)
    walks = LabelWalks(as_store(store))
    asked = [("a", "one"), ("b", "one"), ("c", "one"), ("d", "other")]

    tasks = [asyncio.create_task(walks.read(domain, label, address)) for label, address in asked]
    await settle()
    assert store.asked == ["a"]
    tasks[1].cancel()
    for number in range(3):
        store.answers[number].set()
        await settle()

    assert store.asked == ["a", "d", "c"]
    assert [task.cancelled() for task in tasks] == [False, True, False, False]


async def test_a_short_label_in_memory_waits_for_nobody() -> None:
    store, domain = SlowStore(), WitnessedDomain(NAME)
    walks = LabelWalks(as_store(store))
    founded = [claim("short", domain=NAME, n=number) for number in range(SHORT_RECORDS)]
    domain.add(founded)

    long = asyncio.create_task(walks.read(domain, "long", "one"))
    await settle()
    short = asyncio.create_task(walks.read(domain, "short", "other"))
    await settle()

    assert store.asked == ["long", "short"]
    domain.add([claim("short", ALICE, domain=NAME, n=SHORT_RECORDS)])
    later = asyncio.create_task(walks.read(domain, "short", "other"))
    await settle()
    assert store.asked == ["long", "short"]
    for task in (long, short, later):
        task.cancel()


async def test_what_was_said_of_records_is_read_in_turn_too() -> None:
    """A witness may vote in 40,000 rounds for one record, and the readers of the store are few."""
    store, domain = SlowStore(), WitnessedDomain(NAME)
    walks = LabelWalks(as_store(store))

    walk = asyncio.create_task(walks.read(domain, "long", "one"))
    await settle()
    said = asyncio.create_task(walks.last_said(NAME, POLICY, ["0" * 64], "other"))
    await settle()
    assert store.asked == ["long"]
    store.answers[0].set()
    await settle()
    store.answers[1].set()

    assert (await walk, await said, store.asked) == (None, {}, ["long", "0" * 64])
