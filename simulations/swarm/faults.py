"""Faults: what happens to machines. Each fault of a plan begins at its time, and is undone at its end."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import msgspec

from node.store.contract import StoreError
from node.store.removals import IDS_MAX, RemovalKind, Target
from simulations.cast.machine import Machine
from simulations.cast.user import DOMAIN
from simulations.cluster import Cluster
from simulations.swarm.plan import Fault, FaultKind
from simulations.world.disk import DiskError
from simulations.world.wire import Wire

Undo = Callable[[], Awaitable[None]]
"""Ends a fault."""

_START_ERRORS: Final = (DiskError, StoreError)
"""The errors of a node that starts while its disk fails."""

_REMOVAL_S: Final = 5.0
"""Seconds that an operator waits for a removal, at least."""

_FLAP_S_MIN: Final = 0.1
"""Seconds between two resets of a flapping connection, at least."""


async def inflict(cluster: Cluster, fault: Fault) -> None:
    """Begin the fault at its time, and undo it at its end. Returns when it is over."""
    loop = asyncio.get_running_loop()
    machines = [cluster.machines[name] for name in fault.machines]
    backups = []
    if fault.kind in (FaultKind.RESTORED, FaultKind.FORGOTTEN):
        await asyncio.sleep(max(0.0, fault.at_s - fault.value - loop.time()))
        backups = [cluster.backup(machine) for machine in machines]
    await asyncio.sleep(max(0.0, fault.at_s - loop.time()))
    cluster.note(f"fault {fault.kind}", machines=" ".join(fault.machines), value=fault.value, for_s=fault.for_s)
    undo = await _BEGIN[fault.kind](cluster, machines, fault)
    await asyncio.sleep(max(0.0, fault.at_s + fault.for_s - loop.time()))
    await undo()
    for machine, backup in zip(machines, backups, strict=False):
        while machine.is_on:  # the end of another fault may start the machine meanwhile
            await machine.power_cut()
        cluster.restore(machine, backup)
        if fault.kind is FaultKind.FORGOTTEN:
            cluster.lose_newest_receipt(machine)
    for machine in machines:
        with suppress(*_START_ERRORS):  # another fault keeps the disk from working, and its end starts the machine
            await machine.start()
    cluster.note(f"over {fault.kind}", machines=" ".join(fault.machines))


async def _nothing() -> None:
    """Undo nothing: for faults that have no lasting effect, or whose effect the start of the node ends."""


async def _partition(cluster: Cluster, machines: list[Machine], _: Fault) -> Undo:
    return _heal_later(cluster.partition(machines))


async def _silence(cluster: Cluster, machines: list[Machine], _: Fault) -> Undo:
    return _heal_later(cluster.silence(machines))


def _heal_later(wires: list[Wire]) -> Undo:
    async def heal() -> None:
        for wire in wires:
            wire.heal()

    return heal


async def _refuse_connections(cluster: Cluster, machines: list[Machine], _: Fault) -> Undo:
    wires = cluster.border_wires(machines)
    for wire in wires:
        wire.is_refusing = True
    _break_connections(cluster, machines)

    async def accept() -> None:
        for wire in wires:
            wire.is_refusing = False

    return accept


async def _flap(cluster: Cluster, machines: list[Machine], fault: Fault) -> Undo:
    """Break the connections again and again. Returns when the fault is over."""
    for _ in range(math.floor(fault.for_s / max(fault.value, _FLAP_S_MIN))):
        _break_connections(cluster, machines)
        await asyncio.sleep(fault.value)
    return _nothing


async def _reset_connections(cluster: Cluster, machines: list[Machine], _: Fault) -> Undo:
    _break_connections(cluster, machines)
    return _nothing


def _break_connections(cluster: Cluster, machines: list[Machine]) -> None:
    for machine in machines:
        for other in cluster.machines.values():
            if other is not machine:
                cluster.simulation.network.reset(machine.host, other.host)


async def _slow_wires(cluster: Cluster, machines: list[Machine], fault: Fault) -> Undo:
    return _worsen(cluster, machines, bytes_per_second=fault.value)


async def _lose_segments(cluster: Cluster, machines: list[Machine], fault: Fault) -> Undo:
    return _worsen(cluster, machines, loss=fault.value)


def _worsen(cluster: Cluster, machines: list[Machine], **change: float) -> Undo:
    wires = cluster.border_wires(machines)
    for wire in wires:
        wire.weather = msgspec.structs.replace(wire.weather, **change)

    async def clear() -> None:
        for wire in wires:
            wire.weather = cluster.simulation.network.weather

    return clear


async def _kill(_: Cluster, machines: list[Machine], __: Fault) -> Undo:
    for machine in machines:
        await machine.kill()
    return _nothing


async def _cut_power(_: Cluster, machines: list[Machine], __: Fault) -> Undo:
    for machine in machines:
        await machine.power_cut()
    return _nothing


async def _cut_power_after_write(_: Cluster, machines: list[Machine], fault: Fault) -> Undo:
    """Wait until a machine has written a file, which only witnesses do, and cut its power before it does more."""
    for machine in machines:
        written = asyncio.Event()
        machine.disk.on_written = written.set
        with suppress(TimeoutError):
            async with asyncio.timeout(fault.for_s):
                await written.wait()
        machine.disk.on_written = None
        await machine.power_cut()
    return _nothing


async def _stop(_: Cluster, machines: list[Machine], __: Fault) -> Undo:
    for machine in machines:
        await machine.stop()
    return _nothing


async def _fail_disk(_: Cluster, machines: list[Machine], __: Fault) -> Undo:
    for machine in machines:
        machine.disk.is_failing = True

    async def mend() -> None:
        for machine in machines:
            machine.disk.is_failing = False
            if machine.node is not None and machine.node.failed.done():
                await machine.kill()

    return mend


async def _fill_disk(_: Cluster, machines: list[Machine], __: Fault) -> Undo:
    before = [machine.disk.free for machine in machines]
    for machine in machines:
        machine.disk.free = 0

    async def clear() -> None:
        for machine, free in zip(machines, before, strict=True):
            machine.disk.free = max(machine.disk.free, free)

    return clear


async def _slow_disk(_: Cluster, machines: list[Machine], fault: Fault) -> Undo:
    before = [machine.disk.latency_s for machine in machines]
    for machine in machines:
        machine.disk.latency_s = fault.value

    async def speed_up() -> None:
        for machine, latency_s in zip(machines, before, strict=True):
            machine.disk.latency_s = min(machine.disk.latency_s, latency_s)

    return speed_up


async def _jump_clock(_: Cluster, machines: list[Machine], fault: Fault) -> Undo:
    for machine in machines:
        machine.clock.offset_s += fault.value

    async def set_back() -> None:
        for machine in machines:
            machine.clock.offset_s -= fault.value

    return set_back


async def _erase(cluster: Cluster, machines: list[Machine], fault: Fault) -> Undo:
    """Erase records whose ids are small. So the operators of two machines erase the same records, as far as held."""
    for machine in machines:
        index = None if machine.node is None else machine.node.indexes.get(DOMAIN)
        ids = [] if index is None else [each.hex() for each in index.ids(0, len(index))]
        chosen = [each for each in ids if int(each[:8], 16) < fault.value * 2**32][:IDS_MAX]
        if chosen:
            await _remove(cluster, machine, RemovalKind.ERASE, Target(ids=tuple(chosen)), fault)
    return _nothing


async def _drop(cluster: Cluster, machines: list[Machine], fault: Fault) -> Undo:
    for machine in machines:
        if machine.node is not None:
            cluster.checkers.on_drop(machine, DOMAIN)
            await _remove(cluster, machine, RemovalKind.DROP, Target(domain=DOMAIN), fault)
    return _nothing


async def _remove(cluster: Cluster, machine: Machine, kind: RemovalKind, target: Target, fault: Fault) -> None:
    """Remove records, if no other fault keeps the node from it."""
    removals = machine.running.removals
    with suppress(TimeoutError, *_START_ERRORS):
        async with asyncio.timeout(max(_REMOVAL_S, fault.for_s)):
            removal = await removals.begin(kind, target, "operator", "")
            await removals.wait(removal.number, fault.for_s)
    cluster.note("removed", machine=machine.name, kind=str(kind), records=len(target.ids))


_BEGIN: Final[dict[FaultKind, Callable[[Cluster, list[Machine], Fault], Awaitable[Undo]]]] = {
    FaultKind.PARTED: _partition,
    FaultKind.SILENCED: _silence,
    FaultKind.REFUSED: _refuse_connections,
    FaultKind.FLAPPING: _flap,
    FaultKind.RESET: _reset_connections,
    FaultKind.SLOW: _slow_wires,
    FaultKind.STORM: _lose_segments,
    FaultKind.KILLED: _kill,
    FaultKind.POWER_CUT: _cut_power,
    FaultKind.RESTORED: _cut_power,
    FaultKind.FORGOTTEN: _cut_power,
    FaultKind.CUT_WRITING: _cut_power_after_write,
    FaultKind.STOPPED: _stop,
    FaultKind.DISK_ERROR: _fail_disk,
    FaultKind.DISK_FULL: _fill_disk,
    FaultKind.DISK_SLOW: _slow_disk,
    FaultKind.CLOCK_JUMP: _jump_clock,
    FaultKind.ERASED: _erase,
    FaultKind.DROPPED: _drop,
}
