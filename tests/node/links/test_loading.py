"""What a link's machine asks to read comes in its order, from memory or the store, and not more than it can send."""

from pathlib import Path

from node.links.bodies import Bodies
from node.links.loading import load
from protocol.link.orders import Load
from protocol.records.record import SignedRecord
from tests.history import NOWHERE, claim, signed
from tests.node.intake.pipeline import NOW, PEER, pipeline


def entry(number: int) -> SignedRecord:
    return signed(claim(f"label-{number:03}", at=NOW - 500 + number))


def order(*entries: SignedRecord, bytes_max: int = 2**20) -> Load:
    return Load(1, tuple(each.record.id for each in entries), bytes_max)


async def test_records_come_in_the_order_asked_for_wherever_they_are(tmp_path: Path) -> None:
    entries = [entry(number) for number in range(200)]
    bodies = Bodies()
    bodies.add(entries[::3])
    async with pipeline(tmp_path) as it:
        await it.take(*(each.record for number, each in enumerate(entries) if number % 3), origin=PEER)

        assert await load(it.store, bodies, order(*reversed(entries))) == entries[::-1]


async def test_what_is_not_held_is_left_out(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as it:
        await it.take(entry(1).record, origin=PEER)

        asked = Load(1, (NOWHERE, entry(1).record.id, entry(2).record.id), 2**20)
        assert await load(it.store, Bodies(), asked) == [entry(1)]


async def test_no_more_bytes_are_read_than_asked_for_but_never_nothing(tmp_path: Path) -> None:
    entries = [entry(number) for number in range(4)]
    size = len(entries[0].record.canonical)
    bodies = Bodies()
    bodies.add(entries)
    async with pipeline(tmp_path) as it:
        exact, less, least = [
            await load(it.store, bodies, order(*entries, bytes_max=limit)) for limit in (3 * size, 3 * size - 1, 1)
        ]

    assert [len(exact), len(less), len(least)] == [3, 2, 1]
