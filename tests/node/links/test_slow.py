"""A slow peer costs little, delays no other peer, and gets all records in the end."""

from pathlib import Path

from node.links.running_link import UNSENT_BYTES_MAX, RunningLink
from node.node import Node
from protocol.link.messages import FRAME_BYTES_MAX, Ack, Records, Since
from protocol.link.status import LinkState
from protocol.link.terms import LinkLimits
from protocol.records.record import decode
from tests.history import ALICE, CAROL, DOMAIN, claim
from tests.node.http_sync.sync_network import NOW, claims, give, ids
from tests.node.links.network import befriend, running, until, until_held, until_live
from tests.node.links.raw_peer import RawPeer, linked

QUEUED_MAX = 300
IDLE_S = 0.1
LARGE_BYTES = 60_000
LARGE_RECORDS = 300
REQUESTS = 200
"""Requests for all large records: their answers would need 3.6 GB."""


def link_with(node: Node, key: str) -> RunningLink:
    return next(each for each in node.links.by_number.values() if each.peer_key == key)


async def read_all(peer: RawPeer, wanted: set[str]) -> set[str]:
    """Read and acknowledge frames until all wanted records have come. Returns the ids of all records."""
    heard: set[str] = set()
    while not wanted <= heard:
        message = await peer.hear(Records)
        heard |= {decode(item.body).id for item in message.records}
        await peer.say(Ack(message.seq))
    return heard


async def test_a_peer_that_stops_reading_delays_no_other_and_gets_all_records_later(tmp_path: Path) -> None:
    batches = [claims(100, label=f"batch-{number}") for number in range(20)]
    records = [record for batch in batches for record in batch]
    async with running(tmp_path / "a") as a, running(tmp_path / "c") as c:
        await befriend(a, c)
        await until_live(a, c)
        a.links.limits = LinkLimits(queued_max=QUEUED_MAX, idle_s=IDLE_S)
        async with linked(a, CAROL, push=False, max_queue=1) as peer:
            slow = link_with(a, CAROL.public)

            for batch in batches:
                await give(a, *batch)
            await until_held(records, c)

            assert slow.machine.state is LinkState.BEHIND
            assert slow.machine.status().queued <= QUEUED_MAX
            assert slow.unsent_bytes <= UNSENT_BYTES_MAX
            assert await read_all(peer, ids(records)) == ids(records)
            await until(lambda: slow.machine.state is not LinkState.BEHIND, a)


async def test_the_node_stops_reading_from_a_peer_that_asks_and_does_not_read(tmp_path: Path) -> None:
    """The answers that wait on this node have a limit. Further requests wait in the socket of the peer."""
    large = [
        claim(f"large-{number}", ALICE, NOW - number - 1, filling="x" * LARGE_BYTES) for number in range(LARGE_RECORDS)
    ]
    async with running(tmp_path / "a") as a:
        await give(a, *large)
        async with linked(a, CAROL, push=False, max_queue=1) as peer:
            slow = link_with(a, CAROL.public)
            for _ in range(REQUESTS):
                await peer.say(Since(DOMAIN, 0))

            assert await peer.hear(Records)
            assert slow.unsent_bytes <= UNSENT_BYTES_MAX + FRAME_BYTES_MAX
