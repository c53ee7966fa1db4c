"""What fails by itself: machines, disks, clocks and wires."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec

from simulations.cast.machine import Machine
from simulations.cast.user import User
from simulations.cluster import Cluster
from simulations.scenarios.registry import FAIR, Scenario

RECORDS: Final = 250
NARROW: Final = msgspec.structs.replace(FAIR, bytes_per_second=20_000.0)


async def fill(user: User, machine: Machine, count: int, label: str = "plot") -> None:
    """So many claims of one label each, as fast as the node answers, eight at a time."""
    for begin in range(0, count, 8):
        await asyncio.gather(
            *(user.claim(machine, f"{label}-{number}") for number in range(begin, min(begin + 8, count)))
        )


def lacks(machine: Machine, other: Machine) -> int:
    """How many records fewer a node holds than another."""
    counts = [
        sum(len(node.indexes.get(name) or ()) for name in node.indexes.domains())
        for node in (machine.running, other.running)
    ]
    return counts[1] - counts[0]


async def _half_open(cluster: Cluster) -> None:
    a, b = await cluster.add_line("a", "b")
    alice = cluster.user("alice")

    await b.power_cut()
    await fill(alice, a, 20)
    noticed_s = await cluster.wait_until(lambda: not cluster.is_linked("a", "b"), "a notices that b is gone")
    cluster.expect(noticed_s < 40, f"a ping finds a dead link, within {noticed_s:.0f} s")
    await b.start()

    await cluster.settle()


async def _restart_in_catch_up(cluster: Cluster) -> None:
    """The joiner is cut from power in the middle, then the other side is killed in the middle."""
    a = await cluster.add("a")
    await fill(cluster.user("alice"), a, 2 * RECORDS)
    b = await cluster.add("b")
    await cluster.link(b, a)
    for machine, end in ((b, b.power_cut), (a, a.kill)):
        lacked = lacks(b, a)
        await cluster.wait_until(lambda lacked=lacked: lacks(b, a) < lacked - 30, "some of it has come")  # type: ignore[misc]
        cluster.expect(lacks(b, a) > 0, "the catch-up is not over yet")
        await end()
        await asyncio.sleep(5)
        await machine.start()

    await cluster.settle()


async def _joiner(cluster: Cluster) -> None:
    a, b, c = await cluster.add_line("a", "b", "c")
    await fill(cluster.user("alice"), a, RECORDS)
    await cluster.settle()

    joiner = await cluster.add("joiner")
    await cluster.link(joiner, c, push=False)
    took_s = await cluster.settle()

    cluster.expect(lacks(joiner, a) == 0, "it holds everything")
    cluster.expect(took_s < 60, f"within a minute: {took_s:.0f} s")
    cluster.expect(lacks(b, a) == 0, "and nobody else was disturbed")


async def _long_sleep(cluster: Cluster) -> None:
    a, b, c = await cluster.add_line("a", "b", "c")
    alice = cluster.user("alice")
    await c.stop()
    for number in range(60):
        await alice.claim(a, f"plot-{number % 20}")
        await asyncio.sleep(60)

    await c.start()
    took_s = await cluster.settle()

    cluster.expect(took_s < 30, f"who slept for an hour is back in step within {took_s:.0f} s")
    cluster.expect(lacks(b, a) == 0, "those who were awake were in step")


async def _flapping(cluster: Cluster) -> None:
    machines = await cluster.add_line("a", "b", "c", "d")
    alice = cluster.user("alice")
    for number in range(60):
        await alice.claim(machines[number % 4], f"plot-{number}")
        for one, other in pairwise(machines):
            if (number + len(other.name)) % 2:
                cluster.reset(one, other)
        await asyncio.sleep(0.7)

    took_s = await cluster.settle()
    cluster.expect(took_s < 60, f"links that broke all the time lose nothing: one network after {took_s:.0f} s")


async def _slow_peer(cluster: Cluster) -> None:
    a, b, c = [await cluster.add(name) for name in "abc"]
    await cluster.link(a, b)
    await cluster.link(a, c)
    await cluster.wait_for_links()
    slow = msgspec.structs.replace(FAIR, bytes_per_second=1_000.0)
    for wire in (cluster.wire(a, c), cluster.wire(c, a)):
        wire.weather = slow

    await fill(cluster.user("alice"), a, RECORDS)
    await cluster.wait_until(lambda: lacks(b, a) == 0, "b is in step")
    cluster.expect(lacks(c, a) > 100, f"the slow one is behind, by {lacks(c, a)} records, and b did not wait for it")
    for wire in (cluster.wire(a, c), cluster.wire(c, a)):
        wire.weather = FAIR

    took_s = await cluster.settle()
    cluster.expect(took_s < 120, f"and catches up once it can: {took_s:.0f} s")


async def _one_way(cluster: Cluster) -> None:
    a, b = await cluster.add_line("a", "b")
    alice, bob = cluster.user("alice"), cluster.user("bob")
    cluster.silence([b])

    for number in range(20):
        await alice.claim(a, f"alices-{number}")
        await bob.claim(b, f"bobs-{number}")
        await asyncio.sleep(5)
    cluster.heal()

    took_s = await cluster.settle()
    cluster.expect(took_s < 60, f"a wire that carried one way only is no lasting harm: {took_s:.0f} s")


async def _wrong_clock(cluster: Cluster) -> None:
    """A node ten minutes ahead: what its clients write is ahead of everybody else's clock, and comes in its time."""
    a = await cluster.add("a")
    b = await cluster.add("b", offset_s=600)
    await cluster.link(a, b)
    await cluster.wait_for_links()
    bob = cluster.user("bob")
    bob.clock.offset_s = 600

    replies = [await bob.claim(b, f"plot-{number}") for number in range(5)]
    cluster.expect(all(reply.is_acknowledged for reply in replies), "the node whose clock is ahead takes them")
    await asyncio.sleep(60)
    cluster.expect(lacks(a, b) == 5, "the other does not yet")
    await asyncio.sleep(300)
    await cluster.settle()

    cluster.expect(lacks(a, b) == 0, "and does once their time has come")


async def _restored_backup(cluster: Cluster) -> None:
    a, b, c = await cluster.add_line("a", "b", "c")
    alice = cluster.user("alice")
    await fill(alice, b, 40, "before")
    backup = cluster.backup(b)
    await fill(alice, b, 40, "after")
    await cluster.settle()

    await b.power_cut()
    cluster.restore(b, backup)
    await b.start()
    cluster.expect(lacks(b, a) == 40, "the restored node lacks what came after the backup")
    await fill(alice, b, 5, "later")

    took_s = await cluster.settle()
    cluster.expect(lacks(b, a) == lacks(b, c) == 0, f"its peers give it back, in {took_s:.0f} s")


async def _disk_full(cluster: Cluster) -> None:
    a, b = await cluster.add_line("a", "b")
    alice = cluster.user("alice")
    b.disk.free = 0
    await asyncio.sleep(2)

    reply = await alice.claim(b, "here")
    cluster.expect(reply.code == "storage_full", "a full node says so")
    await fill(alice, a, 20)
    await asyncio.sleep(30)
    cluster.expect(lacks(b, a) == 20, "and takes nothing, from peers neither")
    b.disk.free = 2**40

    await cluster.settle()


async def _disk_error(cluster: Cluster) -> None:
    a, b = await cluster.add_line("a", "b")
    alice = cluster.user("alice")
    await alice.claim(a, "before")
    b.disk.is_failing = True
    reply = await alice.claim(b, "during")
    cluster.expect(not reply.is_acknowledged, "what the disk did not take is not acknowledged")
    await cluster.wait_until(lambda: b.node is None, "b stops, for its memory is ahead of its disk")
    b.disk.is_failing = False

    await b.start()
    await cluster.settle()


async def _rolling_restart(cluster: Cluster) -> None:
    machines = await cluster.add_line("a", "b", "c", "d", "e")
    alice = cluster.user("alice")

    async def write() -> None:
        for number in range(60):
            up = [machine for machine in machines if machine.node is not None]
            await alice.claim(up[number % len(up)], f"plot-{number % 30}")

    async def restart(order: Sequence[Machine]) -> None:
        for machine in order:
            await machine.stop()
            await asyncio.sleep(1)
            await machine.start()
            await asyncio.sleep(2)

    await asyncio.gather(write(), restart(machines))

    took_s = await cluster.settle()
    cluster.expect(took_s < 60, f"every node was restarted under load, and nothing is missing after {took_s:.0f} s")


async def _bridge(cluster: Cluster) -> None:
    """Two cliques that know each other by one node, which is away while both write."""
    left = await cluster.add_line("a1", "a2", "a3")
    right = await cluster.add_line("b1", "b2", "b3")
    await cluster.link(left[0], left[2])
    await cluster.link(right[0], right[2])
    bridge = await cluster.add("bridge")
    await cluster.link(bridge, left[1])
    await cluster.link(bridge, right[1])
    await cluster.wait_for_links()
    await bridge.kill()
    await fill(cluster.user("alice"), left[0], 30, "left")
    await fill(cluster.user("bob"), right[0], 30, "right")
    await cluster.wait_until(lambda: lacks(left[2], left[0]) == lacks(right[2], right[0]) == 0, "each side is one")

    await bridge.start()
    took_s = await cluster.settle()

    cluster.expect(took_s < 60, f"a bridge that comes back joins both sides within {took_s:.0f} s")


async def _back_after_hours(cluster: Cluster) -> None:
    """By then the pauses between two runs are an hour long. An operator asks for one run, and it succeeds."""
    a, b = await cluster.add("a", sync_interval=30.0), await cluster.add("b")
    await cluster.link(a, b, push=True, pull=True, scheme="http")
    alice = cluster.user("alice")
    await cluster.settle()

    await b.stop()
    await asyncio.sleep(5 * 3_600)
    await b.start()
    reports = await alice.sync(a, "push")
    cluster.expect([report["error"] for report in reports.values()] == [None], f"the run succeeds: {reports}")
    await alice.claim(a, "garden")
    took_s = await cluster.wait_until(lambda: lacks(b, a) == 0, "the next claim goes by itself", within_s=3_600)

    cluster.expect(took_s < 60, f"at the usual interval again, after {took_s:.0f} s")


SCENARIOS = (
    Scenario("half-open", "A peer loses its power and says nothing: a ping finds out.", _half_open),
    Scenario(
        "restart-in-catch-up", "Either side dies in the middle of a catch-up: it goes on.", _restart_in_catch_up, NARROW
    ),
    Scenario("joiner", "A node with nothing joins, and pulls: it gets everything.", _joiner),
    Scenario("long-sleep", "A node that was down for an hour is back in step soon.", _long_sleep),
    Scenario(
        "back-after-hours", "One successful sync ends the pauses that a long outage has made long.", _back_after_hours
    ),
    Scenario("flapping", "Links break all the time while everybody writes: nothing is lost.", _flapping),
    Scenario("slow-peer", "One peer reads slowly: nobody waits for it, and it catches up.", _slow_peer),
    Scenario("one-way", "A wire carries one way only for a while.", _one_way),
    Scenario("wrong-clock", "What a node ahead of time took comes to others in its time.", _wrong_clock),
    Scenario("restored-backup", "A node put back to yesterday is brought up to today by its peers.", _restored_backup),
    Scenario(
        "disk-full",
        "A full node takes nothing, says so, and catches up when there is room.",
        _disk_full,
        excused=("b",),
    ),
    Scenario(
        "disk-error", "A node whose disk fails stops, having acknowledged nothing false.", _disk_error, excused=("b",)
    ),
    Scenario("rolling-restart", "All nodes are restarted one after another under load.", _rolling_restart),
    Scenario("bridge", "The only node between two halves comes back: the halves become one.", _bridge),
)
