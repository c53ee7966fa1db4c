"""Records that came too early are asked for again when their time has come."""

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import Final

import msgspec

from node.links.incoming import POSTPONED_MAX, Postponed
from protocol.errors import Code
from protocol.limits import IDS_MAX
from protocol.records.outcome import Outcome, Status
from protocol.records.record import Record
from tests.history import claim
from tests.node.links.network import HANG_S

NOW: Final = 1_000
MAX_SKEW_S: Final = 300
MUCH_LATER_S: Final = 10_000


class Asked:
    """Keeps the ids that a link asks for, in the order of asking."""

    def __init__(self) -> None:
        self.questions: list[Sequence[str]] = []
        self._any = asyncio.Event()

    def __call__(self, ids: Sequence[str]) -> None:
        self.questions.append(ids)
        self._any.set()

    async def until_any(self) -> None:
        async with asyncio.timeout(HANG_S):
            await self._any.wait()


def outcome(record: Record, refusal: Code | None = Code.TOO_NEW) -> Outcome:
    """What became of a record, None for accepted."""
    return Outcome("", Status.ACCEPTED if refusal is None else Status.REFUSED, record, code=refusal)


def many(count: int) -> list[Outcome]:
    """Outcomes of records that were too new and are due by now."""
    return [outcome(msgspec.structs.replace(claim("garden", at=NOW), id=f"{number:064x}")) for number in range(count)]


def postponed(asked: Asked) -> Postponed:
    return Postponed(MAX_SKEW_S, lambda: NOW, asked)


async def test_only_records_that_were_too_new_are_asked_for_and_only_when_due() -> None:
    asked, horizon = Asked(), NOW + MAX_SKEW_S
    waiting = postponed(asked)

    due, later, stale, accepted = (
        claim(label, at=at)
        for label, at in [
            ("due", horizon),
            ("later", horizon + MUCH_LATER_S),
            ("stale", horizon),
            ("accepted", horizon),
        ]
    )

    waiting.put([outcome(due), outcome(later), outcome(stale, Code.STALE), outcome(accepted, None)])
    await asked.until_any()

    waiting.cancel()
    assert asked.questions == [[due.id]]


async def test_one_question_asks_for_as_many_ids_as_a_frame_allows() -> None:
    asked = Asked()
    waiting = postponed(asked)

    waiting.put(many(IDS_MAX + 1))
    await asked.until_any()

    assert [len(each) for each in asked.questions] == [IDS_MAX, 1]


async def test_a_record_past_the_limit_is_left_to_repairs() -> None:
    asked = Asked()
    waiting = postponed(asked)

    waiting.put(many(POSTPONED_MAX + 1))
    await asked.until_any()

    assert len(list(chain.from_iterable(asked.questions))) == POSTPONED_MAX
