"""Connections in memory behave like TCP: bytes may come late or not at all, and are never wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.world.connection import HIGH_BYTES, End
from simulations.world.network import Host, open_sockets
from simulations.world.pipe import GIVE_UP_S, WINDOW_BYTES
from simulations.world.simulation import Simulation
from simulations.world.wire import Weather

PORT = 8080

SOON_S = 1.0
"""Longer than any delivery over a whole wire takes here."""

HOUR_S = 3_600.0


class RecordingProtocol(asyncio.Protocol):
    """Keeps everything that the transport tells it. `lost_s`: when the connection ended."""

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
    """Two hosts. `connect` lets the first dial the other, and returns both ends: `left` has dialled `right`."""

    def __init__(self, simulation: Simulation) -> None:
        """`simulation`: gives the network."""
        self.simulation = simulation
        self.one, self.other = simulation.network.add_host("one"), simulation.network.add_host("other")
        self.out = simulation.network.wire(self.one, self.other)
        self.back = simulation.network.wire(self.other, self.one)
        self.accepted: list[RecordingProtocol] = []

    async def connect(self) -> tuple[RecordingProtocol, RecordingProtocol]:
        await self.listen(self.other)
        left = await self.dial()
        await asyncio.sleep(SOON_S)
        return left, self.accepted[-1]

    async def listen(self, host: Host) -> None:
        def accept() -> RecordingProtocol:
            self.accepted.append(RecordingProtocol())
            return self.accepted[-1]

        with host.here():
            await asyncio.get_running_loop().create_server(accept, host.address, PORT)

    async def dial(self) -> RecordingProtocol:
        with self.one.here():
            _, left = await asyncio.get_running_loop().create_connection(RecordingProtocol, self.other.address, PORT)
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
def test_written_bytes_arrive_once_and_in_order_in_any_weather(
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


def test_a_receiver_that_does_not_read_fills_the_window_then_the_write_buffer_and_then_pauses_the_writer() -> None:
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
        await asyncio.sleep(SOON_S)

        assert len(right.received) == WINDOW_BYTES + HIGH_BYTES + len(b"one more")
        assert left.told == ["pause", "resume"]

    run(main)


def test_bandwidth_limits_the_bytes_that_arrive_in_a_second() -> None:
    bytes_per_second, segment_bytes, wait_s = 10_000, 1_000, 2

    async def main(pair: Pair) -> int:
        left, right = await pair.connect()
        left.end.write(bytes(10 * bytes_per_second))
        await asyncio.sleep(wait_s)
        return len(right.received)

    received = run(main, bytes_per_second=bytes_per_second, segment_bytes=segment_bytes)

    assert wait_s * bytes_per_second - segment_bytes <= received <= wait_s * bytes_per_second


def test_bytes_on_a_wire_that_is_cut_arrive_when_the_wire_heals() -> None:
    async def main(pair: Pair) -> None:
        left, right = await pair.connect()

        pair.out.cut()
        left.end.write(b"late")
        right.end.write(b"the other way is whole")
        await asyncio.sleep(GIVE_UP_S / 2)
        assert (bytes(right.received), bytes(left.received)) == (b"", b"the other way is whole")
        pair.out.heal()
        await asyncio.sleep(SOON_S)

        assert bytes(right.received) == b"late"
        assert not left.is_over.is_set()
        assert not right.is_over.is_set()

    run(main)


def test_a_sender_without_acknowledgements_gives_up_and_the_other_side_does_not_notice() -> None:
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
        await asyncio.sleep(SOON_S)
        assert isinstance(right.error, ConnectionResetError)

    run(main)


def test_a_side_that_only_waits_never_notices_a_power_cut_and_a_side_that_writes_gets_a_reset_after_it() -> None:
    async def main(pair: Pair) -> None:
        left, _ = await pair.connect()

        pair.other.power_cut()
        await asyncio.sleep(HOUR_S)
        assert not left.is_over.is_set()
        left.end.write(b"hello?")
        await asyncio.sleep(GIVE_UP_S / 2)
        assert not left.is_over.is_set()
        pair.other.power_on()
        await asyncio.sleep(SOON_S)

        assert isinstance(left.error, ConnectionResetError)

    run(main)


def test_a_connection_waits_at_a_socket_until_somebody_asks_for_it() -> None:
    """A node accepts its connections itself, and pauses when it has no file descriptor left."""

    async def main(pair: Pair) -> tuple[str, bytes]:
        with pair.other.here():
            [listening] = await open_sockets(pair.other.address, PORT)
        left = await pair.dial()
        left.end.write(b"early")
        await asyncio.sleep(SOON_S)
        accepted, (address, _) = listening.accept()
        _, right = await asyncio.get_running_loop().connect_accepted_socket(RecordingProtocol, accepted)
        await asyncio.sleep(SOON_S)
        with pytest.raises(BlockingIOError):
            listening.accept()
        return address, bytes(right.received)

    assert run(main) == ("10.0.0.1", b"early")


def test_a_killed_process_resets_its_connections() -> None:
    async def main(pair: Pair) -> None:
        left, _ = await pair.connect()

        pair.other.kill()
        await asyncio.sleep(SOON_S)

        assert isinstance(left.error, ConnectionResetError)
        with pytest.raises(ConnectionRefusedError):
            await pair.dial()

    run(main)


def test_a_reset_tells_both_sides_and_loses_bytes_on_their_way() -> None:
    async def main(pair: Pair) -> None:
        left, right = await pair.connect()

        left.end.write(b"under way")
        assert pair.simulation.network.reset(pair.one, pair.other) == 1
        await asyncio.sleep(SOON_S)

        assert bytes(right.received) == b""
        assert isinstance(left.error, ConnectionResetError)
        assert isinstance(right.error, ConnectionResetError)
        assert pair.one.ends == pair.other.ends == {}

    run(main)


def test_a_dialler_is_refused_if_no_process_listens_and_gives_up_if_the_host_does_not_answer() -> None:
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


def test_a_dialler_that_is_cancelled_leaves_no_connection_open() -> None:
    latency_s = 0.01
    accepted_s = 1.5 * latency_s  # the other side has accepted, and its answer is on its way

    async def main(pair: Pair) -> None:
        await pair.listen(pair.other)

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(accepted_s):
                await pair.dial()
        await asyncio.sleep(SOON_S)

        assert pair.one.ends == pair.other.ends == {}

    run(main, latency_s=latency_s)


def test_what_happens_on_one_wire_changes_nothing_on_another() -> None:
    """Otherwise a run without one of its faults would be a completely different run, and could not be shrunk."""

    def delays(is_busy: bool) -> list[float]:
        network = Simulation(1, Weather(jitter_s=0.1, loss=0.1)).network
        one, other, third = (network.add_host(name) for name in ("one", "other", "third"))
        for _ in range(100 if is_busy else 0):
            network.wire(one, third).delay_s(1)
        return [network.wire(one, other).delay_s(1) for _ in range(100)]

    assert delays(is_busy=True) == delays(is_busy=False)
