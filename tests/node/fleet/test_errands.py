"""Errands to the writer: they end when the writer does, and there is a limit on how many are under way."""

import asyncio

import pytest

from node.fleet.errands import Errands
from node.fleet.standing import Role, Standing
from protocol.errors import Code, ProtocolError

PLACES = 2


def standing(writer: str | None) -> Standing:
    one = Standing(Role.FOLLOWER, b"", lambda: 0.0, lambda: 0)
    one.writer = writer
    return one


async def answer(text: str) -> str:
    return text


async def never() -> None:
    await asyncio.Event().wait()


async def refusal_of(errand: "asyncio.Future[None]") -> tuple[Code, object]:
    with pytest.raises(ProtocolError) as raised:
        await errand
    return raised.value.code, raised.value.facts.get("retry_after")


async def test_an_errand_brings_its_answer() -> None:
    assert await Errands(standing("http://one"), PLACES).run(answer("taken")) == "taken"


async def test_without_a_writer_a_client_is_asked_to_come_back_in_a_second() -> None:
    errands = Errands(standing(None), PLACES)

    refusal = await refusal_of(asyncio.ensure_future(errands.run(never())))

    assert refusal == (Code.OVERLOADED, 1)
    assert errands.results == {"no writer": 1}


@pytest.mark.parametrize("successor", [None, "http://two"])
async def test_an_errand_to_a_process_that_writes_no_more_is_broken_off(successor: str | None) -> None:
    one = standing("http://one")
    errands = Errands(one, PLACES)
    errand = asyncio.ensure_future(errands.run(never()))
    await asyncio.sleep(0)

    one.writer = successor
    errands.on_writer()

    assert await refusal_of(errand) == (Code.OVERLOADED, 1)
    assert (len(errands), errands.results) == (0, {"broken off": 1})


async def test_an_errand_to_the_same_writer_goes_on() -> None:
    errands = Errands(standing("http://one"), PLACES)
    errand = asyncio.ensure_future(errands.run(never()))
    await asyncio.sleep(0)

    errands.on_writer()
    await asyncio.sleep(0)

    assert not errand.done()
    await errands.close()
    assert await refusal_of(errand) == (Code.OVERLOADED, 1)


async def test_one_errand_too_many_is_refused() -> None:
    errands = Errands(standing("http://one"), PLACES)
    under_way = [asyncio.ensure_future(errands.run(never())) for _ in range(PLACES)]
    await asyncio.sleep(0)

    assert await refusal_of(asyncio.ensure_future(errands.run(never()))) == (Code.OVERLOADED, 1)
    assert len(errands) == PLACES

    await errands.close()
    await asyncio.gather(*under_way, return_exceptions=True)


async def test_no_errand_begins_while_the_role_of_the_process_changes() -> None:
    """A request may come over a connection that is not closed yet. Its client is asked to send it again."""
    errands = Errands(standing("http://one"), PLACES)

    await errands.close()

    assert await refusal_of(asyncio.ensure_future(errands.run(never()))) == (Code.OVERLOADED, 1)


async def test_an_errand_whose_caller_has_gone_is_given_up() -> None:
    errands = Errands(standing("http://one"), PLACES)
    errand = asyncio.ensure_future(errands.run(never()))
    await asyncio.sleep(0)

    errand.cancel()
    await asyncio.gather(errand, return_exceptions=True)

    assert len(errands) == 0
