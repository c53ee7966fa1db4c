"""Single submissions of one turn of the loop share a group, and each gets its own outcome."""

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from node.intake.arrivals import Origin
from node.intake.gathering import SINGLES_MAX, UNVERIFIED_GROUPS_MAX, Gathering, Single
from node.intake.group import Group
from protocol.errors import Code, ProtocolError
from protocol.records.admission import ANY_HEAD, NEEDS_NO_HEAD, Precondition, Trust
from protocol.records.outcome import Outcome, Status
from protocol.records.record import SignedRecord
from tests.history import ALICE, BOB, claim, signed
from tests.node.intake.pipeline import CLIENT, NOW, PEER, Pipeline, pipeline, submission

ORIGIN = Origin(Trust.CLIENT)


class SlowStages:
    """Stages that check a group when they are told to. They accept every submission."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.checked = asyncio.Event()
        self.left: list[int] = []

    async def check(self, group: Group) -> None:
        self.groups.append(group)
        await self.checked.wait()

    def asked(self, _group: Group) -> list[int]:
        return []

    async def ask(self, _group: Group) -> None:
        """Nobody is asked."""

    def end(self, _group: Group) -> None:
        """Nobody was asked."""

    async def decide(self, group: Group) -> None:
        for position, each in list(group.records.items()):
            group.settle(position, Outcome(each.signature, Status.ACCEPTED))

    def leave(self, singles: Sequence[Single], outcomes: Sequence[Outcome]) -> None:
        self.left.append(len(singles))

    def leave_failed(self, singles: Sequence[Single], error: BaseException) -> None:
        self.left.append(len(singles))

    @property
    def sizes(self) -> list[int]:
        return [len(group) for group in self.groups]


class FailingStages(SlowStages):
    async def decide(self, group: Group) -> None:
        raise ValueError("a fault of the program")


async def turns(count: int = 3) -> None:
    """Wait for as many turns of the loop as it takes to begin a group."""
    for _ in range(count):
        await asyncio.sleep(0)


def put(gathering: Gathering, count: int) -> list[asyncio.Future[Outcome]]:
    record = claim("garden")
    futures: list[asyncio.Future[Outcome]] = [asyncio.get_running_loop().create_future() for _ in range(count)]
    for number, settled in enumerate(futures):
        gathering.put(Single(SignedRecord(str(number), record), ORIGIN, settled, 0, 0.0))
    return futures


async def take_each(it: Pipeline, *entries: tuple[SignedRecord, Origin]) -> list[Outcome]:
    return await asyncio.gather(*(it.ingest.take_one(submission(entry), origin) for entry, origin in entries))


async def test_submissions_of_one_turn_share_a_group_up_to_the_limit() -> None:
    stages = SlowStages()
    gathering = Gathering(stages)

    futures = put(gathering, SINGLES_MAX + 1)
    await turns()
    stages.checked.set()
    outcomes = await asyncio.gather(*futures)

    assert stages.sizes == [SINGLES_MAX, 1]
    assert [outcome.signature for outcome in outcomes] == [str(number) for number in range(SINGLES_MAX + 1)]


async def test_while_two_groups_are_being_verified_newer_submissions_gather() -> None:
    stages = SlowStages()
    gathering = Gathering(stages)
    futures, newer = [], 3
    for _ in range(UNVERIFIED_GROUPS_MAX + newer):
        futures += put(gathering, 1)
        await turns()
    assert stages.sizes == [1] * UNVERIFIED_GROUPS_MAX

    stages.checked.set()
    await asyncio.gather(*futures)

    assert stages.sizes == [*[1] * UNVERIFIED_GROUPS_MAX, newer]


async def test_a_client_that_disconnects_does_not_disturb_the_others() -> None:
    stages = SlowStages()
    gathering = Gathering(stages)
    gone, *others = singles = put(gathering, 3)
    await turns()

    gone.cancel()
    stages.checked.set()
    outcomes = await asyncio.gather(*others)

    assert [outcome.status for outcome in outcomes] == [Status.ACCEPTED] * len(others)
    assert stages.left == [len(singles)]


async def test_if_a_group_fails_every_caller_gets_the_error_and_the_room_is_free() -> None:
    stages = FailingStages()
    stages.checked.set()

    singles = put(Gathering(stages), 2)
    answers = await asyncio.gather(*singles, return_exceptions=True)

    assert [type(answer) for answer in answers] == [ValueError] * len(singles)
    assert stages.left == [len(singles)]


async def test_singles_of_one_turn_are_committed_together(tmp_path: Path) -> None:
    entries = [(signed(claim(f"label-{number}", at=NOW)), CLIENT) for number in range(10)]

    async with pipeline(tmp_path) as it:
        outcomes = await take_each(it, *entries)

        assert [outcome.status for outcome in outcomes] == [Status.ACCEPTED] * len(entries)
        _, commits = list(it.commits.writes.commit_records.buckets())[-1]
        assert commits == 1
        assert it.ingest.room.records == 0


async def test_singles_of_different_turns_are_verified_without_a_thread(tmp_path: Path) -> None:
    """The way to a thread and back costs half as much as a verification."""
    entries = [signed(claim(f"label-{number}", at=NOW)) for number in range(3)]

    async with pipeline(tmp_path) as it:
        taking = []
        for entry in entries:
            taking.append(asyncio.create_task(it.ingest.take_one(submission(entry), CLIENT)))
            await turns(2)
        outcomes = await asyncio.gather(*taking)

        assert [outcome.status for outcome in outcomes] == [Status.ACCEPTED] * len(entries)
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("verify")] == []


async def test_each_single_of_a_group_is_judged_by_its_own_origin(tmp_path: Path) -> None:
    founding, rival = signed(claim("garden", ALICE, NOW - 2)), signed(claim("garden", BOB, NOW - 1))
    demanding = signed(claim("shed", ALICE, NOW))
    old = signed(claim("well", ALICE, 1))

    async with pipeline(tmp_path) as it:
        outcomes = await take_each(
            it,
            (founding, CLIENT),
            (rival, PEER),
            (demanding, Origin(Trust.CLIENT, precondition=Precondition(frozenset({ANY_HEAD})))),
            (old, CLIENT),
            (SignedRecord("00" * 64, founding.record), CLIENT),
        )

    assert [outcome.code for outcome in outcomes] == [
        None,
        None,
        Code.PRECONDITION_FAILED,
        Code.TOO_OLD,
        Code.BAD_SIGNATURE,
    ]
    assert [outcome.verdict for outcome in outcomes[:2]] == ["founded", "rival"]


async def test_two_singles_of_one_turn_cannot_both_found_a_label(tmp_path: Path) -> None:
    demand = Origin(Trust.CLIENT, precondition=NEEDS_NO_HEAD)
    entries = [(signed(claim("garden", at=NOW + number)), demand) for number in range(2)]

    async with pipeline(tmp_path) as it:
        outcomes = await take_each(it, *entries)

    assert {outcome.code for outcome in outcomes} == {None, Code.PRECONDITION_FAILED}


async def test_a_flood_of_singles_gets_overloaded_one_past_the_room(tmp_path: Path) -> None:
    room_records = 5
    entries = [(signed(claim(f"label-{number}", at=NOW)), CLIENT) for number in range(room_records + 1)]

    async with pipeline(tmp_path, records_in_flight_max=room_records) as it:
        answers = await asyncio.gather(
            *(it.ingest.take_one(submission(entry), origin) for entry, origin in entries), return_exceptions=True
        )

        refused = [answer.code for answer in answers if isinstance(answer, ProtocolError)]
        assert refused == [Code.OVERLOADED]
        assert it.ingest.intake.refused == {(Trust.CLIENT, Code.OVERLOADED): 1}


async def test_refused_singles_count_against_their_own_address_only(tmp_path: Path) -> None:
    careless, careful = (Origin(Trust.CLIENT, address=f"192.0.2.{number}") for number in range(2))
    old = [signed(claim(f"old-{number}", at=1)) for number in range(100)]

    async with pipeline(tmp_path, refused_per_minute_max=1) as it:
        await take_each(it, *((entry, careless) for entry in old), (signed(claim("one", at=NOW)), careful))
        await take_each(it, (signed(claim("two", at=NOW)), careful))
        with pytest.raises(ProtocolError) as refused:
            await take_each(it, (signed(claim("three", at=NOW)), careless))

    assert refused.value.code is Code.RATE_LIMITED


async def test_if_the_store_fails_every_single_gets_the_error(tmp_path: Path) -> None:
    entries = [(signed(claim(f"label-{number}", at=NOW)), CLIENT) for number in range(3)]

    async with pipeline(tmp_path) as it:
        with closing(sqlite3.connect(tmp_path / "dnarc.db")) as vandal:
            vandal.execute("DROP TABLE events")
        answers = await asyncio.gather(
            *(it.ingest.take_one(submission(entry), origin) for entry, origin in entries), return_exceptions=True
        )

        assert [type(answer) for answer in answers] == [ProtocolError] * len(entries)
        assert it.ingest.room.records == 0
