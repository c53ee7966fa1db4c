"""Two listed peers are as quick with each other beside a stranger as without one."""

import asyncio

from simulations.cast.mischief import send_to_both
from simulations.cluster import Cluster
from simulations.world.simulation import Simulation
from simulations.world.wire import Weather

CLAIMS = 20
CLAIM_EVERY_S = 0.3
LOOK_EVERY_S = 0.005
HANG_S = 120.0


def delays_s(*, has_stranger: bool) -> list[float]:
    """How long each claim takes from one of two listed peers to the other, while a stranger gives news to both."""
    cluster, delays = Cluster(Simulation(1, Weather(latency_s=0.02))), []

    async def main() -> None:
        a, b = await cluster.add("a"), await cluster.add("b")
        await cluster.link(a, b)
        await cluster.settle(HANG_S)
        mischief = asyncio.create_task(send_to_both(cluster.user("mallory"), a, b, "strange"))
        if not has_stranger:
            mischief.cancel()
        for number in range(CLAIMS):
            reply = await cluster.user("alice").claim(a, f"label-{number}")
            assert reply.is_acknowledged
            record, begun_s = cluster.acknowledgements[-1].record, asyncio.get_running_loop().time()
            async with asyncio.timeout(HANG_S):
                while not b.running.indexes.holds(record):  # noqa: ASYNC110 - the index has no event to wait for
                    await asyncio.sleep(LOOK_EVERY_S)
            delays.append(asyncio.get_running_loop().time() - begun_s)
            await asyncio.sleep(CLAIM_EVERY_S)
        await asyncio.gather(mischief, return_exceptions=True)
        await cluster.close()

    cluster.simulation.run(main())
    assert cluster.checkers.violations == []
    return delays


def test_a_stranger_that_gives_news_to_both_slows_no_listed_pair() -> None:
    """Each of them hears the other one's copy too late. If it pruned the other one, it would wait for the stranger."""
    without, beside = delays_s(has_stranger=False), delays_s(has_stranger=True)

    assert max(beside) <= 2 * max(without) + LOOK_EVERY_S
