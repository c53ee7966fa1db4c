"""The room in the pipeline is shared by address, so a stranger whose records wait for long keeps nobody out."""

from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from node.intake.arrivals import Origin
from node.intake.room import Room
from node.settings.settings import Settings
from node.world import World
from protocol.errors import ProtocolError
from protocol.records.admission import Trust

RECORDS_MAX = 8_000


def of(address: str | None) -> Origin:
    return Origin(Trust.CLIENT, address)


def enters(room: Room, address: str | None, records: int) -> bool:
    with suppress(ProtocolError):
        room.enter_now(records, 0, of(address))
        return True
    return False


@pytest.fixture
def room(tmp_path: Path) -> Room:
    settings = Settings(data=tmp_path, records_in_flight_max=RECORDS_MAX, records_per_second_max=None)
    return Room(settings, World(random=Random(0)))


async def test_one_address_has_a_quarter_and_gets_it_back(room: Room) -> None:
    within, past = enters(room, "192.0.2.1", RECORDS_MAX // 4), enters(room, "192.0.2.1", 1)
    other = enters(room, "192.0.2.2", RECORDS_MAX // 4)
    room.leave(1, 0, of("192.0.2.1"))

    assert (within, past, other, enters(room, "192.0.2.1", 1)) == (True, False, True, True)


async def test_strangers_leave_a_quarter_to_this_machine(room: Room) -> None:
    strangers = [enters(room, f"192.0.2.{number}", RECORDS_MAX // 4) for number in range(4)]

    assert strangers == [True, True, True, False]
    assert (enters(room, None, RECORDS_MAX // 4), enters(room, None, 1)) == (True, False)
