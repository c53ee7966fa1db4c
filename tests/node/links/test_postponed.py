import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import Final

from node.links.postponed import POSTPONED_MAX, Postponed
from protocol.errors import Code
from protocol.limits import IDS_MAX
from protocol.link.orders import Taken
from tests.node.links.network import HANG_S

NOW: Final = 1_000
MAX_SKEW_S: Final = 300


class Asked:
    """What a link was to ask for, in the order of asking."""

    def __init__(self) -> None:
        self.questions: list[Sequence[str]] = []
        self._any = asyncio.Event()

    def __call__(self, ids: Sequence[str]) -> None:
        self.questions.append(ids)
        self._any.set()

    async def until_any(self) -> None:
        async with asyncio.timeout(HANG_S):
            await self._any.wait()


def taken(number: int, at: int, refusal: Code | None = Code.TOO_NEW) -> Taken:
    return Taken(f"{number:064x}", "test", at, refusal)


def postponed(asked: Asked) -> Postponed:
    return Postponed(MAX_SKEW_S, lambda: NOW, asked)


async def test_what_was_too_new_is_asked_for_when_its_time_has_come_and_nothing_else_is() -> None:
    asked, horizon = Asked(), NOW + MAX_SKEW_S
    waiting = postponed(asked)

    waiting.put(
        [
            taken(1, at=horizon),
            taken(2, at=horizon + 10_000),
            taken(3, at=horizon, refusal=Code.STALE),
            taken(4, at=horizon, refusal=None),
        ]
    )
    await asked.until_any()

    waiting.cancel()
    assert asked.questions == [[f"{1:064x}"]]


async def test_what_is_asked_for_comes_in_questions_of_the_size_that_a_frame_allows() -> None:
    asked = Asked()
    waiting = postponed(asked)

    waiting.put(taken(number, at=NOW) for number in range(IDS_MAX + 1))
    await asked.until_any()

    assert [len(each) for each in asked.questions] == [IDS_MAX, 1]


async def test_one_more_than_the_limit_is_left_to_the_repairs() -> None:
    asked = Asked()
    waiting = postponed(asked)

    waiting.put(taken(number, at=NOW) for number in range(POSTPONED_MAX + 1))
    await asked.until_any()

    assert len(list(chain.from_iterable(asked.questions))) == POSTPONED_MAX
