"""A cluster: machines and users by name, who syncs with whom, and what is done to them.

    cluster = Cluster(simulation)
    a, b = await cluster.add("a"), await cluster.add("b")
    await cluster.link(a, b)
    cluster.partition([a])
    cluster.heal()

Everything here is an act of an operator, a user or fate, and leaves a line in the trace. `settle` waits for the network
to become one, and says what is missing where it does not.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from node.node import Node
from node.store.contract import Peer
from simulations.cast.machine import Clock, Machine
from simulations.cast.tie import Tie
from simulations.cast.user import Acknowledgement, User
from simulations.judges.checkers import Checkers
from simulations.judges.convergence import Missing, find_missing
from simulations.world.simulation import Simulation
from simulations.world.wire import Weather, Wire

LOOK_EVERY_S: Final = 1.0
POLL_S: Final = 0.1
SETTLE_S_MAX: Final = 600.0

BRISK: Final[dict[str, Any]] = {
    "sync_interval": 10.0,
    "peers_poll": 60.0,
    "repair_interval": 60.0,
    "ping_interval": 10.0,
    "peer_timeout": 15.0,
    "reconnect_max": 10.0,
}
"""Settings for runs of minutes instead of days. Nothing else differs from what an operator gets."""


class NotSettledError(AssertionError):
    """The faults are over, and the nodes still differ. The text says what is missing where."""


class Backup(msgspec.Struct, frozen=True):
    """The databases of a machine, as they were at a time of the loop's clock."""

    databases: dict[Path, bytes]
    at_s: float


class Cluster:
    """Machines, users and ties. `checkers` watches them all, and so does whoever is in `watchers`, as in `Machine`."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.machines: dict[str, Machine] = {}
        self.users: dict[str, User] = {}
        self.ties: list[Tie] = []
        self.acknowledgements: list[Acknowledgement] = []
        self.checkers = Checkers(simulation, self.acknowledgements)
        self.watchers: list[Callable[[Machine, Node], None]] = []
        self.settled_s: list[float] = []

    async def add(self, name: str, *, offset_s: float = 0.0, drift: float = 0.0, **settings: Any) -> Machine:
        """A new machine, its node started."""
        clock = Clock(self.simulation.now_s, offset_s, drift)
        machine = Machine(self.simulation, name, BRISK | settings, clock)
        self.machines[name] = machine
        machine.watchers += [self.checkers.watch, *self.watchers]
        await machine.start()
        return machine

    def user(self, name: str) -> User:
        """The user of this name, new where there is none."""
        if name not in self.users:
            self.users[name] = User(self.simulation, name, self.acknowledgements)
        return self.users[name]

    async def link(self, dialler: Machine, acceptor: Machine, **how: Any) -> Tie:
        """Make one a peer of the other; `how` as in `Tie`."""
        tie = Tie(dialler.name, acceptor.name, **how)
        self.ties.append(tie)
        await acceptor.running.peers.put(Peer(key=dialler.key, accept=tie.push))
        await dialler.running.peers.put(Peer(url=acceptor.url(tie.scheme), push=tie.push, pull=tie.pull))
        return tie

    def partition(self, group: Iterable[Machine]) -> list[Wire]:
        """Cut all wires between these machines and the others, both ways. Returns what was cut."""
        inside = list(group)
        self.note("parted", names=_names(inside))
        wires = self.border_wires(inside)
        for wire in wires:
            wire.cut()
        return wires

    def silence(self, group: Iterable[Machine]) -> list[Wire]:
        """Cut the wires from these machines to the others, and not those back. Returns what was cut."""
        inside = list(group)
        self.note("silenced", names=_names(inside))
        wires = [self.wire(one, other) for one in inside for other in self._outside(inside)]
        for wire in wires:
            wire.cut()
        return wires

    def heal(self) -> None:
        """Make every wire whole."""
        self.note("healed")
        for wire in list(self.simulation.network.wires()):
            wire.is_refusing = False
            while wire.is_cut:
                wire.heal()

    def reset(self, one: Machine, other: Machine) -> None:
        """Break the connections between the two."""
        count = self.simulation.network.reset(one.host, other.host)
        self.note("reset", between=f"{one.name} and {other.name}", connections=count)

    def set_weather(self, weather: Weather, machines: Iterable[Machine] | None = None) -> None:
        """Give the wires of these machines, or all of them, this weather."""
        self.note("weather", **msgspec.structs.asdict(weather))
        chosen = list(self.machines.values()) if machines is None else list(machines)
        if machines is None:
            self.simulation.network.weather = weather
        for one in chosen:
            for other in self.machines.values():
                if one is not other:
                    self.wire(one, other).weather = self.wire(other, one).weather = weather

    def wire(self, source: Machine, target: Machine) -> Wire:
        return self.simulation.network.wire(source.host, target.host)

    def missing(self) -> list[Missing]:
        """What nodes lack that should have come to them; empty once the network is one."""
        return find_missing(self.machines, self.ties)

    async def settle(self, within_s: float = SETTLE_S_MAX) -> float:
        """Wait until no node lacks anything. Returns how long it took, in seconds.

        Raises:
            NotSettledError: with what is missing where.
        """
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        while pending := self.missing():
            if loop.time() - begin_s >= within_s:
                raise NotSettledError("\n".join(map(str, pending[:20])))
            await asyncio.sleep(LOOK_EVERY_S)
        self.settled_s.append(round(loop.time() - begin_s, 3))
        self.note("settled", after_s=self.settled_s[-1])
        return self.settled_s[-1]

    def repaired_records(self) -> int:
        """How many records the links that are open now have found by comparing sets."""
        nodes = [machine.node for machine in self.machines.values() if machine.node is not None]
        return sum(link.counts.repaired for node in nodes for link in node.links.by_number.values())

    def expect(self, is_so: bool, words: str) -> None:
        """What a scenario says must be so; a fault where it is not."""
        self.note("as expected" if is_so else "NOT as expected", what_is=words)
        if not is_so:
            self.checkers.on_violation("", f"expected: {words}")

    async def add_line(self, *names: str, **settings: Any) -> list[Machine]:
        """New machines, each linked to the next, both ways."""
        machines = [await self.add(name, **settings) for name in names]
        for one, other in pairwise(machines):
            await self.link(one, other)
        await self.wait_for_links()
        return machines

    async def wait_for_links(self) -> None:
        """Wait until every tie by WebSocket has an open link."""
        ties = [tie for tie in self.ties if tie.scheme == "ws"]
        await self.wait_until(lambda: all(self.is_linked(tie.dialler, tie.acceptor) for tie in ties), "all are linked")

    async def wait_until(self, is_so: Callable[[], bool], words: str, within_s: float = SETTLE_S_MAX) -> float:
        """Wait until it is so. Returns how long that took. Raises: NotSettledError: with the words."""
        begin_s = self.simulation.loop.time()
        for _ in range(int(within_s / POLL_S)):
            if is_so():
                return self.simulation.loop.time() - begin_s
            await asyncio.sleep(POLL_S)
        raise NotSettledError(f"not within {within_s:g} s: {words}")

    def is_linked(self, one: str, other: str) -> bool:
        """Whether the first has an open link with the second."""
        node = self.machines[one].node
        key = self.machines[other].key
        return node is not None and any(link.peer_key == key for link in node.links.by_number.values())

    def backup(self, machine: Machine) -> Backup:
        """A copy of a machine's database as it is committed now."""
        return Backup(machine.disk.backup(), asyncio.get_running_loop().time())

    def restore(self, machine: Machine, backup: Backup) -> None:
        """Put the copy in the place of the database. The node must not be running."""
        now_s = asyncio.get_running_loop().time()
        self.note("restored", machine=machine.name, age_s=round(now_s - backup.at_s, 3))
        machine.disk.restore(backup.databases)
        self.checkers.on_restore(machine, backup.at_s, now_s)

    async def close(self) -> None:
        """Stop all nodes as an operator would."""
        for machine in self.machines.values():
            await machine.stop()
        for machine in self.machines.values():
            machine.disk.close()

    def border_wires(self, inside: Sequence[Machine]) -> list[Wire]:
        """The wires between these machines and all others, both ways."""
        return [
            wire
            for one in inside
            for other in self._outside(inside)
            for wire in (self.wire(one, other), self.wire(other, one))
        ]

    def _outside(self, inside: Sequence[Machine]) -> list[Machine]:
        return [machine for machine in self.machines.values() if machine not in inside]

    def note(self, what: str, **facts: object) -> None:
        """A line in the trace that is about no single machine."""
        self.simulation.trace.note("", what, **facts)


def _names(machines: Iterable[Machine]) -> str:
    return " ".join(machine.name for machine in machines)
