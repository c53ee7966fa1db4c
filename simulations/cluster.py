"""A cluster: machines and users by name, which machine syncs with which, and what is done to them.

    cluster = Cluster(simulation)
    a, b = await cluster.add("a"), await cluster.add("b")
    await cluster.link(a, b)
    cluster.partition([a])
    cluster.heal()

Each method does what an operator, a user or an accident does, and leaves a line in the trace. `settle` waits until no
node lacks a record, and says which records are missing if that takes too long.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from node.node import Node
from node.store.contract import Peer
from protocol.signing import SigningKey
from simulations.cast.council import Council
from simulations.cast.machine import Clock, Machine
from simulations.cast.tie import Tie
from simulations.cast.user import Acknowledgement, User
from simulations.judges.checkers import Checkers
from simulations.judges.convergence import Missing, find_missing
from simulations.judges.council import CouncilJudges
from simulations.world.simulation import Simulation
from simulations.world.wire import Wire

LOOK_EVERY_S: Final = 1.0
"""Seconds between two looks for missing records, which compare all sets and take time."""

POLL_S: Final = 0.1
SETTLE_S_MAX: Final = 600.0

MISSING_SHOWN: Final = 20

BRISK: Final[dict[str, Any]] = {
    "sync_interval": 10.0,
    "peers_poll": 60.0,
    "repair_interval": 60.0,
    "ping_interval": 10.0,
    "peer_timeout": 15.0,
    "reconnect_max": 10.0,
}
"""Settings for runs of minutes instead of days. All other settings have the defaults that an operator gets."""


class NotSettledError(AssertionError):
    """What was waited for did not happen in time. After `settle` the text names the missing records."""


class Backup(msgspec.Struct, frozen=True):
    """The databases of a machine, as they were at this time on the loop's clock."""

    databases: dict[Path, bytes]
    at_s: float


class Cluster:
    """Machines, users and ties. `watchers`: called with each node that starts, as in `Machine`.

    `settled_s`: how long each successful `settle` took, in seconds.
    """

    def __init__(self, simulation: Simulation) -> None:
        """`simulation`: gives the loop, the network and the trace."""
        self.simulation = simulation
        self.machines: dict[str, Machine] = {}
        self.users: dict[str, User] = {}
        self.ties: list[Tie] = []
        self.acknowledgements: list[Acknowledgement] = []
        self.checkers = Checkers(simulation, self.acknowledgements)
        self.watchers: list[Callable[[Machine, Node], None]] = []
        self.settled_s: list[float] = []
        self.council: Council | None = None
        self.judges: CouncilJudges | None = None

    def convene(self, seats: Sequence[str], faulty: int, liars: Sequence[str] = ()) -> Council:
        """Make these witnesses of a domain, the seats on machines that are added later, and have it judged."""
        self.council = Council(self.simulation, seats, faulty, liars)
        self.judges = self.checkers.convene(self.council)
        return self.council

    async def add(self, name: str, *, offset_s: float = 0.0, drift: float = 0.0, **settings: Any) -> Machine:
        """Add a machine, and start its node. `offset_s` and `drift`: of its clock, as in `Clock`. `settings`: the
        node's. A machine that has a seat in the council witnesses its domain.
        """
        clock = Clock(self.simulation.now_s, offset_s, drift)
        has_seat = self.council is not None and name in self.council.seats
        own = {"witness": [self.council.domain]} if self.council is not None and has_seat else {}
        machine = Machine(self.simulation, name, BRISK | own | settings, clock)
        if self.council is not None and has_seat:
            self.council.seat(machine)
        self.machines[name] = machine
        machine.watchers += [self.checkers.watch, *self.watchers]
        await machine.start()
        return machine

    def user(self, name: str, key: SigningKey | None = None) -> User:
        """The user of this name. The first call makes the user, with this key or a key of their own."""
        if name not in self.users:
            self.users[name] = User(self.simulation, name, self.acknowledgements, key)
        return self.users[name]

    async def link(self, dialler: Machine, acceptor: Machine, **how: Any) -> Tie:
        """Make each machine a peer of the other. `how`: the fields of the `Tie`."""
        tie = Tie(dialler.name, acceptor.name, **how)
        self.ties.append(tie)
        await acceptor.running.peers.put(Peer(key=dialler.key, accept=tie.push))
        await dialler.running.peers.put(Peer(url=acceptor.url(tie.scheme), push=tie.push, pull=tie.pull))
        return tie

    def partition(self, group: Iterable[Machine]) -> list[Wire]:
        """Cut all wires between these machines and the others, in both directions. Returns the wires."""
        inside = list(group)
        self.note("parted", names=_names(inside))
        wires = self.border_wires(inside)
        for wire in wires:
            wire.cut()
        return wires

    def silence(self, group: Iterable[Machine]) -> list[Wire]:
        """Cut the wires from these machines to the others, and leave those back. Returns the wires that it cut."""
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
        """Break all connections between the two machines."""
        count = self.simulation.network.reset(one.host, other.host)
        self.note("reset", between=f"{one.name} and {other.name}", connections=count)

    def wire(self, source: Machine, target: Machine) -> Wire:
        """The wire from one machine to the other."""
        return self.simulation.network.wire(source.host, target.host)

    def missing(self) -> list[Missing]:
        """The records that have not arrived yet. Empty once all nodes agree."""
        return find_missing(self.machines, self.ties)

    async def settle(self, within_s: float = SETTLE_S_MAX) -> float:
        """Wait until no node lacks a record. Returns how long that took, in seconds.

        Raises:
            NotSettledError: records are still missing after this time. The text names them.
        """
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        while pending := self.missing():
            if loop.time() - begin_s >= within_s:
                raise NotSettledError("\n".join(map(str, pending[:MISSING_SHOWN])))
            await asyncio.sleep(LOOK_EVERY_S)
        self.settled_s.append(round(loop.time() - begin_s, 3))
        self.note("settled", after_s=self.settled_s[-1])
        return self.settled_s[-1]

    def repaired_records(self) -> int:
        """How many records the links that are open now have found by repairs, without those that are erased."""
        nodes = [machine.node for machine in self.machines.values() if machine.node is not None]
        counts = [link.counts for node in nodes for link in node.links.by_number.values()]
        return sum(each.repaired - each.erased for each in counts)

    def erased_named(self) -> int:
        """How many records peers have named as erased on the links that are open now."""
        nodes = [machine.node for machine in self.machines.values() if machine.node is not None]
        return sum(link.counts.erased for node in nodes for link in node.links.by_number.values())

    def open_links(self) -> set[tuple[str, int]]:
        """The links that are open now: the machine, and the number on its node."""
        return {
            (name, number)
            for name, machine in self.machines.items()
            if machine.node is not None
            for number, link in machine.node.links.by_number.items()
            if link.is_open
        }

    def expect(self, is_so: bool, words: str) -> None:
        """Check what a scenario expects. If it is not so, report a violation."""
        self.note("as expected" if is_so else "NOT as expected", what_is=words)
        if not is_so:
            self.checkers.on_violation("", f"expected: {words}")

    async def add_line(self, *names: str, **settings: Any) -> list[Machine]:
        """Add machines in a line, each linked with the next, and wait until all links are open."""
        machines = [await self.add(name, **settings) for name in names]
        for one, other in pairwise(machines):
            await self.link(one, other)
        await self.wait_for_links()
        return machines

    async def wait_for_links(self) -> None:
        """Wait until every tie over WebSocket has an open link."""
        ties = [tie for tie in self.ties if tie.scheme == "ws"]
        await self.wait_until(lambda: all(self.is_linked(tie.dialler, tie.acceptor) for tie in ties), "all are linked")

    async def wait_until(self, is_so: Callable[[], bool], words: str, within_s: float = SETTLE_S_MAX) -> float:
        """Wait until a condition holds, which `words` describe. Returns how long that took, in seconds.

        Raises:
            NotSettledError: the condition does not hold within this time.
        """
        begin_s = self.simulation.loop.time()
        for _ in range(int(within_s / POLL_S)):
            if is_so():
                return self.simulation.loop.time() - begin_s
            await asyncio.sleep(POLL_S)
        raise NotSettledError(f"not within {within_s:g} s: {words}")

    async def end_races(self, within_s: float) -> float:
        """Wait until every race in the witnessed domain is over on every node. Returns how long it took, in seconds.

        Raises:
            NotSettledError: with the machines and labels whose races are not over.
        """
        assert self.judges is not None, "a council has judges"
        begin_s = self.simulation.loop.time()
        while still_open := self.judges.open_races(self.machines):
            if self.simulation.loop.time() - begin_s >= within_s:
                raise NotSettledError(f"races are open after {within_s:g} s: {', '.join(still_open[:20])}")
            await asyncio.sleep(LOOK_EVERY_S)
        took_s = round(self.simulation.loop.time() - begin_s, 3)
        self.note("races over", after_s=took_s)
        return took_s

    def is_linked(self, one: str, other: str) -> bool:
        """Whether the first machine has an open link with the second."""
        node = self.machines[one].node
        key = self.machines[other].key
        return node is not None and any(link.peer_key == key for link in node.links.by_number.values())

    def backup(self, machine: Machine) -> Backup:
        """A copy of a machine's databases as they are committed now."""
        return Backup(machine.disk.backup(), asyncio.get_running_loop().time())

    def restore(self, machine: Machine, backup: Backup) -> None:
        """Replace the machine's databases by the backup. The node must not be running."""
        now_s = asyncio.get_running_loop().time()
        self.note("restored", machine=machine.name, age_s=round(now_s - backup.at_s, 3))
        machine.disk.restore(backup.databases)
        self.checkers.on_restore(machine, backup.at_s, now_s)

    def begin_witness(self, machine: Machine, last: str | None) -> None:
        """Do what `dnarc witness begin` does. `last`: the id of the last receipt. The node must not be running."""
        assert self.council is not None, "only a witness begins"
        assert self.judges is not None, "a council has judges"
        self.note("begins to witness", machine=machine.name, last=last)
        self.council.begin(machine, last)
        self.judges.liveness.on_begun(machine.name)

    def lose_newest_receipt(self, machine: Machine) -> None:
        """Remove the file of the newest receipt of a witness. The node must not be running."""
        assert self.council is not None, "only witnesses have such a file"
        assert self.judges is not None, "a council has judges"
        self.note("lost its newest receipt", machine=machine.name)
        self.council.lose_newest(machine)
        self.judges.liveness.on_lost_file(machine.name)

    async def close(self) -> None:
        """Stop all nodes as an operator does, and close their disks."""
        for machine in self.machines.values():
            await machine.stop()
        for machine in self.machines.values():
            machine.disk.close()

    def border_wires(self, inside: Sequence[Machine]) -> list[Wire]:
        """The wires between these machines and all others, in both directions."""
        return [
            wire
            for one in inside
            for other in self._outside(inside)
            for wire in (self.wire(one, other), self.wire(other, one))
        ]

    def _outside(self, inside: Sequence[Machine]) -> list[Machine]:
        return [machine for machine in self.machines.values() if machine not in inside]

    def note(self, what: str, **facts: object) -> None:
        """Write a line that concerns no single machine into the trace."""
        self.simulation.trace.note("", what, **facts)


def _names(machines: Iterable[Machine]) -> str:
    return " ".join(machine.name for machine in machines)
