"""The input of an address past its share waits, and connections that wait take turns."""

import asyncio

from node.fairness.crowd import Crowd
from node.http_api.input_meter import INPUT_BURST_S, INPUT_SHARE_MAX, INPUT_TURN_S, REQUEST_S, InputMeter

TIMEOUT_S = 120
"""Only ends a test that hangs."""

ONE, OTHER = "192.0.2.1", "192.0.2.2"


def work(piece: bytes) -> None:
    """Work that takes a moment."""
    _ = [piece] * 100_000


async def test_input_costs_the_processor_time_of_its_work_twice_because_its_reader_takes_as_long() -> None:
    """The time comes from outside: in a simulation it stands still, so that the real processor decides nothing."""
    times_s, crowd = iter((1.0, 1.25, 2.0, 2.0)), Crowd(None, INPUT_BURST_S)
    meter = InputMeter(crowd=crowd, processor_s=times_s.__next__)

    meter.measure(ONE, work, b"x")
    meter.measure(ONE, work, b"x")

    assert crowd.counts.work_s == 0.5


async def test_the_input_of_an_address_past_its_share_waits_and_that_of_others_does_not() -> None:
    meter = InputMeter(share_max=1e-6)

    meter.measure(ONE, work, b"x")

    assert INPUT_SHARE_MAX * INPUT_BURST_S == 0.1
    assert (meter.is_over(ONE), InputMeter().is_over(ONE)) == (True, False)


async def test_requests_that_come_in_one_piece_count_although_their_bytes_are_few() -> None:
    meter, fitting = InputMeter(), round(INPUT_SHARE_MAX * INPUT_BURST_S / REQUEST_S)

    meter.charge(ONE, fitting - 100)
    meter.charge(OTHER, fitting + 100)

    assert (meter.is_over(ONE), meter.is_over(OTHER)) == (False, True)


async def test_connections_that_wait_take_turns_within_their_address() -> None:
    """Each of them waits again after its turn, as a connection does whose client sends without a pause."""
    meter, turns, end = InputMeter(), list[int](), asyncio.Event()

    def read_on(number: int) -> None:
        turns.append(number)
        if len(turns) < 6:
            meter.wait(ONE, lambda: read_on(number))
        else:
            end.set()

    for number in range(3):
        meter.wait(ONE, lambda number=number: read_on(number))  # type: ignore[misc]
    async with asyncio.timeout(TIMEOUT_S):
        await end.wait()

    assert turns == [0, 1, 2, 0, 1, 2]


def fill_turns(meter: InputMeter, addresses: list[str]) -> list[str]:
    """Let a connection of each address wait again and again, and use up a whole turn of the loop each time. Returns the
    list of those that had a turn.
    """
    turns = list[str]()

    def read_on(address: str) -> None:
        turns.append(address)
        meter.charge(address, round(INPUT_TURN_S / REQUEST_S))
        meter.wait(address, lambda: read_on(address))

    for address in addresses:
        meter.wait(address, lambda address=address: read_on(address))  # type: ignore[misc]
    return turns


async def test_hundreds_of_addresses_of_few_networks_delay_an_address_elsewhere_by_one_turn_each() -> None:
    """They waited in the order in which they had come, and the first ones had all turns until their share was over."""
    meter = InputMeter()
    turns = fill_turns(meter, [f"10.0.{number % 3}.{number // 3}" for number in range(576)])
    before = asyncio.get_running_loop().create_future()

    meter.wait(ONE, lambda: before.set_result(list(turns)))

    async with asyncio.timeout(TIMEOUT_S):
        assert await before == ["10.0.0.0", "10.0.1.0", "10.0.2.0"]


async def test_a_turn_of_the_loop_has_time_for_some_of_those_that_wait_and_for_nobody_before_them() -> None:
    """Input that comes while others wait is not read at once."""
    meter = InputMeter()
    had_time = meter.has_time
    turns = fill_turns(meter, [f"10.0.0.{number}" for number in range(100)])

    counts = []
    for _ in range(5):
        await asyncio.sleep(0)
        counts.append((len(turns), meter.has_time))

    assert had_time
    assert counts == [(1, False), (2, False), (3, False), (4, False), (5, False)]


async def test_a_connection_that_pauses_has_a_turn_later_and_none_if_it_has_closed() -> None:
    meter, turns, end = InputMeter(), list[str](), asyncio.Event()
    meter.pause(ONE, lambda: turns.append("closed")).cancel()
    meter.pause(ONE, lambda: turns.append("paused"))
    meter.pause(ONE, end.set)
    meter.wait(OTHER, lambda: turns.append("waited"))

    async with asyncio.timeout(TIMEOUT_S):
        await end.wait()

    assert turns == ["waited", "paused"]


async def test_a_connection_that_has_closed_waits_no_longer_and_one_past_its_share_waits_on() -> None:
    crowd = Crowd(None, INPUT_BURST_S)
    meter, turns, end = InputMeter(1e-6, crowd), list[str](), asyncio.Event()
    meter.measure(ONE, work, b"x")

    meter.wait(ONE, lambda: turns.append("past its share"))
    meter.wait(OTHER, lambda: turns.append("closed")).cancel()
    meter.wait(OTHER, end.set)
    async with asyncio.timeout(TIMEOUT_S):
        await end.wait()

    assert turns == []
    assert crowd.counts.delayed == 1
