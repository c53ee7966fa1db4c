"""Outage: calls wait until the server answers, and others can see why."""

import asyncio

import pytest

from node.store.outage import Failure, Outage, Probing, Trouble
from tests.waiting import until

REFUSED = Failure("connection refused", "start the server")
STARTING = Failure("the server is starting", "wait")


class Server:
    """Answers each probe with the next of these failures, and then with None."""

    def __init__(self, *failures: Failure) -> None:
        self.failures = list(failures)
        self.probes = 0

    async def probe(self) -> Failure | None:
        self.probes += 1
        return self.failures.pop(0) if self.failures else None


async def test_a_lost_connection_to_a_server_that_answers_is_no_trouble() -> None:
    server = Server()
    outage = Outage("reads")
    probing = Probing(outage, server.probe, 0.0)
    told: list[object] = []
    outage.watchers.append(lambda: told.append(outage.trouble))

    await probing.wait()

    assert (server.probes, told) == (1, [])


async def test_calls_wait_together_until_the_server_answers_and_watchers_hear_of_both_ends() -> None:
    server = Server(REFUSED, REFUSED, STARTING)
    outage = Outage("reads")
    probing = Probing(outage, server.probe, 0.0)
    told: list[Failure | None] = []
    outage.watchers.append(lambda: told.append(outage.trouble.failure if outage.trouble else None))

    await asyncio.gather(*(probing.wait() for _ in range(3)))

    assert server.probes == 4
    assert told == [REFUSED, None]


async def test_the_trouble_is_that_of_the_last_probe_and_as_old_as_the_first() -> None:
    server = Server(REFUSED, STARTING, *[STARTING] * 1_000)
    outage = Outage("reads")
    probing = Probing(outage, server.probe, 0.0)
    waiting = asyncio.create_task(probing.wait())
    await until(lambda: outage.trouble is not None)
    first = outage.trouble
    await until(lambda: outage.trouble != first)

    assert first is not None
    assert outage.trouble == Trouble(STARTING, first.since_s)
    await probing.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_call_that_gives_up_does_not_end_the_wait_of_others() -> None:
    server = Server(REFUSED, REFUSED)
    outage = Outage("reads")
    probing = Probing(outage, server.probe, 0.0)
    impatient, patient = (asyncio.create_task(probing.wait()) for _ in range(2))
    await asyncio.sleep(0)

    impatient.cancel()
    await patient

    assert outage.trouble is None
