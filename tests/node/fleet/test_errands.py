"""Errands to the writer: they end when the writer does, and there is a limit on how many are under way."""

import asyncio

import pytest

from node.fleet.errands import Errands
from node.fleet.standing import Role, Standing
from protocol.errors import Code, ProtocolError

PLACES = 8
SHARE = PLACES // 4


def standing(writer: str | None) -> Standing:
    one = Standing(Role.FOLLOWER, b"", lambda: 0.0, lambda: 0)
    one.writer = writer
    return one


def errands_to(one: Standing) -> Errands:
    return Errands(one, requests_max=PLACES, links_max=PLACES)


async def under_way(
    errands: Errands, count: int, address: str, *, may_wait: bool = False
) -> list["asyncio.Task[None]"]:
    """So many requests of this address, which have begun."""
    tasks = [asyncio.create_task(errands.run(never(), address, may_wait=may_wait)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def answer(text: str) -> str:
    return text


async def never() -> None:
    await asyncio.Event().wait()


async def refusal_of(errand: "asyncio.Future[None]") -> tuple[Code, object]:
    with pytest.raises(ProtocolError) as raised:
        await errand
    return raised.value.code, raised.value.facts.get("retry_after")


async def test_an_errand_brings_its_answer() -> None:
    assert await errands_to(standing("http://one")).run(answer("taken"), None) == "taken"


async def test_without_a_writer_a_client_is_asked_to_come_back_in_a_second() -> None:
    errands = errands_to(standing(None))

    refusal = await refusal_of(asyncio.ensure_future(errands.run(never(), None)))

    assert refusal == (Code.OVERLOADED, 1)
    assert errands.results == {"no writer": 1}


@pytest.mark.parametrize("successor", [None, "http://two"])
async def test_an_errand_to_a_process_that_writes_no_more_is_broken_off(successor: str | None) -> None:
    one = standing("http://one")
    errands = errands_to(one)
    errand = asyncio.ensure_future(errands.run(never(), None))
    await asyncio.sleep(0)

    one.writer = successor
    errands.on_writer()

    assert await refusal_of(errand) == (Code.OVERLOADED, 1)
    assert (len(errands), errands.results) == (0, {"broken off": 1})


async def test_an_errand_to_the_same_writer_goes_on() -> None:
    errands = errands_to(standing("http://one"))
    errand = asyncio.ensure_future(errands.run(never(), None))
    await asyncio.sleep(0)

    errands.on_writer()
    await asyncio.sleep(0)

    assert not errand.done()
    await errands.close()
    assert await refusal_of(errand) == (Code.OVERLOADED, 1)


async def test_one_errand_too_many_is_refused() -> None:
    errands = errands_to(standing("http://one"))
    under_way = [asyncio.ensure_future(errands.run(never(), None)) for _ in range(PLACES)]
    await asyncio.sleep(0)

    assert await refusal_of(asyncio.ensure_future(errands.run(never(), None))) == (Code.OVERLOADED, 1)
    assert len(errands) == PLACES

    await errands.close()
    await asyncio.gather(*under_way, return_exceptions=True)


async def test_one_address_has_a_quarter_of_the_places_and_strangers_three() -> None:
    errands = errands_to(standing("http://one"))
    tasks = [task for each in "abcde" for task in await under_way(errands, SHARE + 1, f"192.0.2.{ord(each)}")]
    of_operator = asyncio.create_task(errands.run(never(), None))
    link = asyncio.create_task(errands.carry(never(), "192.0.2.97"))
    await asyncio.sleep(0)

    assert [task.done() for task in tasks] == [False, False, True] * 3 + [True] * 6
    assert (of_operator.done(), link.done()) == (False, False)

    await errands.close()
    await asyncio.gather(*tasks, of_operator, link, return_exceptions=True)


async def test_a_request_that_waits_for_a_race_gives_way_to_a_newcomer() -> None:
    """Otherwise three strangers could keep everybody from writing at a process that follows."""
    errands = errands_to(standing("http://one"))
    waiting = [task for each in range(3) for task in await under_way(errands, SHARE, f"192.0.2.{each}", may_wait=True)]

    newcomer = errands.run(answer("taken"), "198.51.100.1")

    assert await newcomer == "taken"
    assert await refusal_of(waiting[0]) == (Code.OVERLOADED, 1)
    assert [task.done() for task in waiting] == [True] + [False] * 5
    await errands.close()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_stranger_opens_few_links_a_second() -> None:
    """A link that is closed at once gives its place back, and its opening has cost work all the same."""
    errands = errands_to(standing("http://one"))
    links = [errands.carry(answer("opened"), "192.0.2.1") for _ in range(100)]

    outcomes = [(await asyncio.gather(link, return_exceptions=True))[0] for link in links]
    refused = {each.code for each in outcomes if isinstance(each, ProtocolError)}
    of_operator = [await errands.carry(answer("opened"), None) for _ in range(100)]

    assert (outcomes[0], refused) == ("opened", {Code.RATE_LIMITED})
    assert of_operator == ["opened"] * 100


async def test_no_errand_begins_while_the_role_of_the_process_changes() -> None:
    """A request may come over a connection that is not closed yet. Its client is asked to send it again."""
    errands = errands_to(standing("http://one"))

    await errands.close()

    assert await refusal_of(asyncio.ensure_future(errands.run(never(), None))) == (Code.OVERLOADED, 1)


async def test_an_errand_whose_caller_has_gone_is_given_up() -> None:
    errands = errands_to(standing("http://one"))
    errand = asyncio.ensure_future(errands.run(never(), None))
    await asyncio.sleep(0)

    errand.cancel()
    await asyncio.gather(errand, return_exceptions=True)

    assert len(errands) == 0
