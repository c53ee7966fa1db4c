"""Connections in memory are TCP: late, slow, broken, and never wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.world.connection import HIGH_BYTES, End
from simulations.world.network import Host
from simulations.world.pipe import GIVE_UP_S, WINDOW_BYTES
from simulations.world.simulation import Simulation
from simulations.world.wire import Weather

PORT = 8080


class Recorder(asyncio.Protocol):
    """Keeps what it is told, with the time."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.told: list[str] = []
        self.error: Exception | None = None
        self.lost_s: float | None = None
        self.is_over = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, End)
        self.end = transport

    def data_received(self, data: bytes) -> None:
        self.received += data

    def eof_received(self) -> None:
        self.told.append("eof")

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.lost_s = asyncio.get_running_loop().time()
        self.is_over.set()


class Pair:
    """Two hosts, `left` having dialled `right`."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.one, self.other = simulation.network.add_host("one"), simulation.network.add_host("other")
        self.out = simulation.network.wire(self.one, self.other)
        self.back = simulation.network.wire(self.other, self.one)
        self.accepted: list[Recorder] = []

    async def connect(self) -> tuple[Recorder, Recorder]:
        await self.listen(self.other)
        left = await self.dial()
        await asyncio.sleep(1)
        return left, self.accepted[-1]

    async def listen(self, host: Host) -> None:
        def accept() -> Recorder:
            self.accepted.append(Recorder())
            return self.accepted[-1]

        with host.here():
            await asyncio.get_running_loop().create_server(accept, host.address, PORT)

    async def dial(self) -> Recorder:
        with self.one.here():
            _, left = await asyncio.get_running_loop().create_connection(Recorder, self.other.address, PORT)
        return left


def run(main: Callable[[Pair], Awaitable[Any]], **weather: Any) -> Any:
    simulation = Simulation(1, Weather(**weather))

    async def begin() -> Any:
        return await main(Pair(simulation))

    result = simulation.run(begin())
    assert simulation.loop.uncaught == []
    return result


@settings(max_examples=30)
@given(
    sizes=st.lists(st.integers(1, 200_000), max_size=8),
    segment_bytes=st.integers(100, 70_000),
    loss=st.floats(0, 0.5),
    jitter_s=st.floats(0, 0.2),
)
def test_all_that_is_written_arrives_once_and_in_order_whatever_the_weather(
    sizes: list[int], segment_bytes: int, loss: float, jitter_s: float
) -> None:
    written = [Random(number).randbytes(size) for number, size in enumerate(sizes)]

    async def main(pair: Pair) -> tuple[bytes, list[str], Exception | None]:
        left, right = await pair.connect()
        for data in written:
            left.end.write(data)
        left.end.close()
        await right.is_over.wait()
        return bytes(right.received), right.told, right.error

    received, told, error = run(main, segment_bytes=segment_bytes, loss=loss, jitter_s=jitter_s)

    assert received == b"".join(written)
    assert told == ["eof"]
    assert error is None


def test_a_receiver_that_does_not_read_fills_the_window_then_the_buffer_then_stops_the_writer() -> None:
    async def main(pair: Pair) -> None:
        left, right = await pair.connect()
        right.end.pause_reading()

        left.end.write(bytes(WINDOW_BYTES + HIGH_BYTES))
        assert left.told == []
        left.end.write(b"one more")
        assert left.told == ["pause"]
        await asyncio.sleep(10 * GIVE_UP_S)
        assert (len(right.received), left.lost_s) == (0, None)
        right.end.resume_reading()
        await asyncio.sleep(1)

        assert len(right.received) == WINDOW_BYTES + HIGH_BYTES + len(b"one more")
        assert left.told == ["pause", "resume"]

    run(main)


def test_bandwidth_bounds_what_arrives_in_a_second() -> None:
    async def main(pair: Pair) -> int:
        left, right = await pair.connect()
        left.end.write(bytes(100_000))
        await asyncio.sleep(2)
        return len(right.received)

    received = run(main, bytes_per_second=10_000, segment_bytes=1_000)

    assert 19_000 <= received <= 20_000


def test_what_is_cut_off_comes_when_the_wire_heals() -> None:
    async def main(pair: Pair) -> None:
        left, right = await pair.connect()

        pair.out.cut()
        left.end.write(b"late")
        right.end.write(b"the other way is whole")
        await asyncio.sleep(GIVE_UP_S / 2)
        assert (bytes(right.received), bytes(left.received)) == (b"", b"the other way is whole")
        pair.out.heal()
        await asyncio.sleep(1)

        assert bytes(right.received) == b"late"
        assert not left.is_over.is_set()
        assert not right.is_over.is_set()

    run(main)


def test_a_sender_that_nobody_acknowledges_gives_up_and_the_silent_side_never_hears_of_it() -> None:
    async def main(pair: Pair) -> None:
        left, right = await pair.connect()

        pair.out.cut()
        pair.back.cut()
        left.end.write(b"lost")
        await asyncio.sleep(2 * GIVE_UP_S)

        assert isinstance(left.error, TimeoutError)
        assert not right.is_over.is_set()
        pair.out.heal()
        pair.back.heal()
        right.end.write(b"are you there?")
        await asyncio.sleep(1)
        assert isinstance(right.error, ConnectionResetError)

    run(main)


def test_a_power_cut_is_noticed_by_whoever_writes_and_a_restart_answers_with_a_reset() -> None:
    async def main(pair: Pair) -> None:
        left, _ = await pair.connect()

        pair.other.power_cut()
        await asyncio.sleep(3600)
        assert not left.is_over.is_set()
        left.end.write(b"hello?")
        await asyncio.sleep(GIVE_UP_S / 2)
        assert not left.is_over.is_set()
        pair.other.power_on()
        await asyncio.sleep(1)

        assert isinstance(left.error, ConnectionResetError)

    run(main)


def test_a_killed_process_leaves_resets_behind() -> None:
    async def main(pair: Pair) -> None:
        left, _ = await pair.connect()

        pair.other.kill()
        await asyncio.sleep(1)

        assert isinstance(left.error, ConnectionResetError)
        with pytest.raises(ConnectionRefusedError):
            await pair.dial()

    run(main)


def test_a_reset_tells_both_and_loses_what_is_under_way() -> None:
    async def main(pair: Pair) -> None:
        left, right = await pair.connect()

        left.end.write(b"under way")
        assert pair.simulation.network.reset(pair.one, pair.other) == 1
        await asyncio.sleep(1)

        assert bytes(right.received) == b""
        assert isinstance(left.error, ConnectionResetError)
        assert isinstance(right.error, ConnectionResetError)
        assert pair.one.ends == pair.other.ends == {}

    run(main)


def test_a_dialler_is_refused_where_nobody_listens_and_gives_up_where_nobody_answers() -> None:
    async def main(pair: Pair) -> None:
        with pytest.raises(ConnectionRefusedError):
            await pair.dial()
        await pair.listen(pair.other)
        pair.out.is_refusing = True
        with pytest.raises(ConnectionRefusedError):
            await pair.dial()
        pair.out.is_refusing = False
        pair.back.cut()
        with pytest.raises(TimeoutError):
            await pair.dial()
        pair.back.heal()
        await pair.dial()

    run(main)


def test_a_dialler_that_is_cancelled_leaves_nothing_open() -> None:
    async def main(pair: Pair) -> None:
        await pair.listen(pair.other)

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.015):  # after the other side has accepted
                await pair.dial()
        await asyncio.sleep(1)

        assert pair.one.ends == pair.other.ends == {}

    run(main, latency_s=0.01)


def test_what_happens_on_one_wire_changes_nothing_on_another() -> None:
    """Otherwise a run from which one fault is taken away would be another run, and could not be shrunk."""

    def delays(is_busy: bool) -> list[float]:
        network = Simulation(1, Weather(jitter_s=0.1, loss=0.1)).network
        one, other, third = (network.add_host(name) for name in ("one", "other", "third"))
        for _ in range(100 if is_busy else 0):
            network.wire(one, third).delay_s(1)
        return [network.wire(one, other).delay_s(1) for _ in range(100)]

    assert delays(is_busy=True) == delays(is_busy=False)
