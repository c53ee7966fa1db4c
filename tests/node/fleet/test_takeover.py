"""A writer that is stopped for a while, as real processes: another one takes over, and the first writes nothing more in
its old term.
"""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

from protocol.records.record import Record
from simulations.processes.process import running
from tests.history import ALICE, DOMAIN, claim
from tests.node.fleet.members import ask_until, end_session_of_writer, term_changes
from tests.node.http_api.talking import Client

SchemaUrl = Callable[[str], str]


def now(label: str) -> Record:
    return claim(label, ALICE, int(time.time()))


async def put_until_taken(client: Client, record: Record) -> int:
    """Write as a client does that comes back after a refusal. Returns the last status."""
    return (await ask_until(lambda: client.put(record), lambda answer: answer.status != 503)).status


async def test_a_writer_that_was_stopped_writes_nothing_in_its_old_term(tmp_path: Path, schema_url: SchemaUrl) -> None:
    """The server ends the session of a writer that is silent for six seconds. Here it does so at once."""
    url = schema_url("one")
    before, late, meanwhile, after = (now(label) for label in ("before", "late", "meanwhile", "after"))
    with (
        running("one", tmp_path / "one", "--store", url) as one,
        running("two", tmp_path / "two", "--store", url) as two,
    ):
        async with Client(one.url) as first, Client(two.url) as second:
            taken = [await put_until_taken(first, before)]
            one.process.send_signal(signal.SIGSTOP)
            try:
                sent_late = asyncio.create_task(put_until_taken(first, late))
                sent_meanwhile = asyncio.create_task(put_until_taken(second, meanwhile))
                await end_session_of_writer(url)
                taken.append(await sent_meanwhile)
            finally:
                one.process.send_signal(signal.SIGCONT)
            taken.append(await sent_late)
            await ask_until(lambda: first.get("/health"), lambda answer: answer.json()["fleet"]["role"] == "follower")
            taken.append(await put_until_taken(first, after))

            pages = [await client.get(f"/claims/{DOMAIN}?limit=10") for client in (first, second)]
            await ask_until(lambda: second.get("/health"), lambda answer: answer.status == 200)

    assert set(taken) <= {200, 201}
    assert [sorted(claim["label"] for claim in page.json().values()) for page in pages] == [
        ["after", "before", "late", "meanwhile"]
    ] * 2
    terms = await term_changes(url)
    assert terms == sorted(set(terms))
    assert len(terms) >= 2
