"""What the reads of one address cost is bounded, and others go on reading."""

import asyncio
import time
from pathlib import Path

import pytest

from node.fairness.read_cost import metered
from node.fairness.turns import TURN_S, Turns
from node.http_api.requests.request_meter import LinkTurns, RequestMeter
from node.node import Node
from node.settings.settings import Settings
from node.world import World
from protocol.errors import ProtocolError
from protocol.records.quota import BURST_S
from tests.history import claim
from tests.node.http_api.talking import NOW, Client

SHARE = 0.25
BURST = SHARE * BURST_S
"""Seconds of work that an address may cause at once."""

ONE = "192.0.2.1"


def work(seconds: float) -> float:
    """Returns how long it worked: a stall may count as processor time."""
    begun_s = time.thread_time()
    while time.thread_time() < begun_s + seconds:
        pass
    return time.thread_time() - begun_s


async def reads(seconds: float) -> float:
    """A handler that works in the loop, waits, and works in a thread. Returns how long it worked."""
    in_the_loop_s = work(seconds / 2)
    await asyncio.sleep(0)
    return in_the_loop_s + await asyncio.to_thread(metered(work), seconds / 2)


async def test_work_in_the_loop_and_in_threads_counts_and_waiting_does_not() -> None:
    works, idles = RequestMeter(TINY_SHARE), RequestMeter(TINY_SHARE)
    never = asyncio.Event()

    async def waits() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await never.wait()

    worked_s = await works.answer(ONE, reads(0.1))
    await idles.answer(ONE, waits())

    assert worked_s >= 0.1
    assert 0.9 * worked_s < spent(works) < 2 * worked_s
    assert spent(idles) < 0.05


TINY_SHARE = 1e-9
"""With this share the work of a test stays counted while the test runs."""


def spent(meter: RequestMeter) -> float:
    """How many seconds of work were counted, with `TINY_SHARE`: the address is alone."""
    return meter.shares.wait_s(ONE, asyncio.get_running_loop().time()) * TINY_SHARE


async def test_an_address_that_would_wait_for_long_is_refused_without_any_work() -> None:
    meter = RequestMeter(SHARE)
    meter.shares.spend(ONE, 2 * BURST, asyncio.get_running_loop().time())

    with pytest.raises(ProtocolError) as refused:
        await meter.answer(ONE, reads(1_000.0))

    assert refused.value.code == "rate_limited"
    assert refused.value.facts["retry_after"] in (int(BURST_S), int(BURST_S) + 1)
    assert (meter.shares.counts.delayed, meter.shares.counts.refused) == (0, 1)


async def test_a_cancelled_read_is_cancelled_inside_and_counts_what_it_did() -> None:
    meter = RequestMeter(TINY_SHARE)
    is_cancelled = False

    async def reading() -> None:
        nonlocal is_cancelled
        work(0.05)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            is_cancelled = True
            raise

    task = asyncio.create_task(meter.answer(ONE, reading()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert is_cancelled
    assert spent(meter) > 0.04


async def test_requests_that_fill_a_turn_begin_in_turns_of_their_own() -> None:
    """Otherwise 100 connections would hold each turn of the loop for as long as all of their requests take together."""
    meter, now, begun = RequestMeter(None), 0, list[int]()

    async def reading() -> None:
        begun.append(now)
        work(2 * TURN_S)

    tasks = [asyncio.create_task(meter.answer(f"192.0.2.{number}", reading())) for number in range(3)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        now += 1

    assert len(set(begun)) == 3


async def test_requests_for_links_begin_in_turns_and_links_that_last_hold_none() -> None:
    turns, begun = Turns(), 0
    links, ended = LinkTurns(turns), asyncio.Event()

    async def link() -> None:
        nonlocal begun
        begun += 1
        await ended.wait()

    tasks = [asyncio.create_task(links.answer(ONE, link())) for _ in range(20)]
    await asyncio.sleep(0)
    begun_in_one_turn = begun
    await asyncio.wait_for(RequestMeter(SHARE, turns=turns).answer("198.51.100.1", reads(0.0)), 120)
    for _ in tasks:
        await asyncio.sleep(0)
    ended.set()
    await asyncio.gather(*tasks)

    assert (begun_in_one_turn, begun) == (5, 20)


async def test_reads_past_the_share_get_429_and_this_machine_is_exempt(tmp_path: Path) -> None:
    settings = Settings(port=0, data=tmp_path, read_share_max=1e-6)
    through_a_proxy = {"X-Forwarded-For": ONE}
    async with Node(settings, World(now_s=lambda: NOW)) as node, Client(node.url) as client:
        await client.import_all(node, [claim("garden", at=NOW - number) for number in range(1_000)])
        answers = [await client.get("/claims/example/garden/history", through_a_proxy) for _ in range(2)]
        here = [await client.get("/claims/example/garden/history") for _ in range(2)]
        health = await client.get("/health", through_a_proxy)

    assert answers[0].status == 200
    assert answers[1].refusal == (429, "rate_limited")
    assert int(answers[1].headers["Retry-After"]) >= 1
    assert [answer.status for answer in here] == [200, 200]
    assert health.status == 200


async def test_work_of_every_kind_counts_for_the_share_of_strangers(tmp_path: Path) -> None:
    """One claim of a stranger uses up the share. Then other strangers wait too, and the operator does not."""
    settings = Settings(port=0, data=tmp_path, strangers_share_max=1e-6)
    one, other = {"X-Forwarded-For": ONE}, {"X-Forwarded-For": "198.51.100.1"}
    async with Node(settings, World(now_s=lambda: NOW)) as node, Client(node.url) as client:
        first = await client.put(claim("first", at=NOW), one)
        second = [await client.put(claim("second", at=NOW), headers) for headers in (one, other)]
        read = await client.get("/claims/example/first", other)
        with_token = {**one, "Authorization": f"Bearer {node.admin_token}"}
        operator = await client.put(claim("third", at=NOW), with_token)
        here, health = await client.put(claim("fourth", at=NOW)), await client.get("/health", other)

    assert [first.status, operator.status, here.status, health.status] == [201, 201, 201, 200]
    assert [answer.refusal for answer in (*second, read)] == [(429, "rate_limited")] * 3
