"""What fate does to machines: each fault of a plan begun at its time, and undone at its end."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import msgspec

from simulations.cast.machine import Machine
from simulations.cluster import Cluster
from simulations.swarm.plan import Fault, FaultKind
from simulations.world.disk import DiskError
from simulations.world.wire import Wire

Undo = Callable[[], Awaitable[None]]


async def befall(cluster: Cluster, fault: Fault) -> None:
    """Carry the fault out: returns when it is over."""
    loop = asyncio.get_running_loop()
    machines = [cluster.machines[name] for name in fault.machines]
    backups = []
    if fault.kind is FaultKind.RESTORED:
        await asyncio.sleep(max(0.0, fault.at_s - fault.value - loop.time()))
        backups = [cluster.backup(machine) for machine in machines]
    await asyncio.sleep(max(0.0, fault.at_s - loop.time()))
    cluster.note(f"fault {fault.kind}", machines=" ".join(fault.machines), value=fault.value, for_s=fault.for_s)
    undo = await _BEGIN[fault.kind](cluster, machines, fault)
    await asyncio.sleep(max(0.0, fault.at_s + fault.for_s - loop.time()))
    await undo()
    for machine, backup in zip(machines, backups, strict=False):
        while machine.is_on:  # another fault may have started it meanwhile, or does while it goes down
            await machine.power_cut()
        cluster.restore(machine, backup)
    for machine in machines:
        with suppress(DiskError):  # another fault holds its disk: whatever ends that starts it
            await machine.start()
    cluster.note(f"over {fault.kind}", machines=" ".join(fault.machines))


async def _nothing() -> None:
    """What there is to undo where nothing lasts."""


async def _parted(cluster: Cluster, machines: list[Machine], _: Fault) -> Undo:
    return _healing(cluster.part(machines))


async def _silenced(cluster: Cluster, machines: list[Machine], _: Fault) -> Undo:
    return _healing(cluster.silence(machines))


def _healing(wires: list[Wire]) -> Undo:
    async def heal() -> None:
        for wire in wires:
            wire.heal()

    return heal


async def _refused(cluster: Cluster, machines: list[Machine], _: Fault) -> Undo:
    wires = cluster.border(machines)
    for wire in wires:
        wire.is_refusing = True
    _break(cluster, machines)

    async def accept() -> None:
        for wire in wires:
            wire.is_refusing = False

    return accept


async def _flapping(cluster: Cluster, machines: list[Machine], fault: Fault) -> Undo:
    """For as long as the fault lasts; then there is nothing to undo."""
    for _ in range(math.floor(fault.for_s / max(fault.value, 0.1))):
        _break(cluster, machines)
        await asyncio.sleep(fault.value)
    return _nothing


async def _reset(cluster: Cluster, machines: list[Machine], _: Fault) -> Undo:
    _break(cluster, machines)
    return _nothing


def _break(cluster: Cluster, machines: list[Machine]) -> None:
    for machine in machines:
        for other in cluster.machines.values():
            if other is not machine:
                cluster.simulation.network.reset(machine.host, other.host)


async def _slow(cluster: Cluster, machines: list[Machine], fault: Fault) -> Undo:
    return _weather(cluster, machines, bytes_per_second=fault.value)


async def _storm(cluster: Cluster, machines: list[Machine], fault: Fault) -> Undo:
    return _weather(cluster, machines, loss=fault.value)


def _weather(cluster: Cluster, machines: list[Machine], **change: float) -> Undo:
    wires = cluster.border(machines)
    for wire in wires:
        wire.weather = msgspec.structs.replace(wire.weather, **change)

    async def clear() -> None:
        for wire in wires:
            wire.weather = cluster.simulation.network.weather

    return clear


async def _killed(_: Cluster, machines: list[Machine], __: Fault) -> Undo:
    for machine in machines:
        await machine.kill()
    return _nothing


async def _power_cut(_: Cluster, machines: list[Machine], __: Fault) -> Undo:
    for machine in machines:
        await machine.power_cut()
    return _nothing


async def _stopped(_: Cluster, machines: list[Machine], __: Fault) -> Undo:
    for machine in machines:
        await machine.stop()
    return _nothing


async def _disk_error(_: Cluster, machines: list[Machine], __: Fault) -> Undo:
    for machine in machines:
        machine.disk.is_failing = True

    async def mend() -> None:
        for machine in machines:
            machine.disk.is_failing = False
            if machine.node is not None and machine.node.failed.done():
                await machine.kill()

    return mend


async def _disk_full(_: Cluster, machines: list[Machine], __: Fault) -> Undo:
    before = [machine.disk.free for machine in machines]
    for machine in machines:
        machine.disk.free = 0

    async def clear() -> None:
        for machine, free in zip(machines, before, strict=True):
            machine.disk.free = max(machine.disk.free, free)

    return clear


async def _disk_slow(_: Cluster, machines: list[Machine], fault: Fault) -> Undo:
    before = [machine.disk.latency_s for machine in machines]
    for machine in machines:
        machine.disk.latency_s = fault.value

    async def speed() -> None:
        for machine, latency_s in zip(machines, before, strict=True):
            machine.disk.latency_s = min(machine.disk.latency_s, latency_s)

    return speed


async def _clock_jump(_: Cluster, machines: list[Machine], fault: Fault) -> Undo:
    for machine in machines:
        machine.clock.offset_s += fault.value

    async def back() -> None:
        for machine in machines:
            machine.clock.offset_s -= fault.value

    return back


_BEGIN: Final[dict[FaultKind, Callable[[Cluster, list[Machine], Fault], Awaitable[Undo]]]] = {
    FaultKind.PARTED: _parted,
    FaultKind.SILENCED: _silenced,
    FaultKind.REFUSED: _refused,
    FaultKind.FLAPPING: _flapping,
    FaultKind.RESET: _reset,
    FaultKind.SLOW: _slow,
    FaultKind.STORM: _storm,
    FaultKind.KILLED: _killed,
    FaultKind.POWER_CUT: _power_cut,
    FaultKind.RESTORED: _power_cut,
    FaultKind.STOPPED: _stopped,
    FaultKind.DISK_ERROR: _disk_error,
    FaultKind.DISK_FULL: _disk_full,
    FaultKind.DISK_SLOW: _disk_slow,
    FaultKind.CLOCK_JUMP: _clock_jump,
}
