"""Scenarios of failures: of machines, disks, clocks and wires."""

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
"""Bandwidth with which a catch-up of 500 records takes long enough to be interrupted."""

CLAIMS_AT_ONCE: Final = 8


async def claim_many(user: User, machine: Machine, count: int, label: str = "plot") -> None:
    """Claim `count` labels whose names begin with `label`, `CLAIMS_AT_ONCE` at a time."""
    for begin in range(0, count, CLAIMS_AT_ONCE):
        numbers = range(begin, min(begin + CLAIMS_AT_ONCE, count))
        await asyncio.gather(*(user.claim(machine, f"{label}-{number}") for number in numbers))


def records_behind(machine: Machine, other: Machine) -> int:
    """How many records fewer this machine's node holds than the other's."""
    counts = [
        sum(len(node.indexes.get(name) or ()) for name in node.indexes.domains())
        for node in (machine.running, other.running)
    ]
    return counts[1] - counts[0]


async def _half_open(cluster: Cluster) -> None:
    a, b = await cluster.add_line("a", "b")
    alice = cluster.user("alice")

    await b.power_cut()
    await claim_many(alice, a, 20)
    noticed_s = await cluster.wait_until(lambda: not cluster.is_linked("a", "b"), "a notices that b is gone")
    cluster.expect(noticed_s < 40, f"a ping finds a dead link, within {noticed_s:.0f} s")
    await b.start()

    await cluster.settle()


async def _restart_in_catch_up(cluster: Cluster) -> None:
    """The joining node loses its power during the catch-up. Then the other node is killed during the catch-up."""
    a = await cluster.add("a")
    await claim_many(cluster.user("alice"), a, 2 * RECORDS)
    b = await cluster.add("b")
    await cluster.link(b, a)
    for machine, end in ((b, b.power_cut), (a, a.kill)):
        lacked = records_behind(b, a)
        await cluster.wait_until(lambda lacked=lacked: records_behind(b, a) < lacked - 30, "some records have come")  # type: ignore[misc]
        cluster.expect(records_behind(b, a) > 0, "the catch-up is not over yet")
        await end()
        await asyncio.sleep(5)
        await machine.start()

    await cluster.settle()


async def _joiner(cluster: Cluster) -> None:
    a, b, c = await cluster.add_line("a", "b", "c")
    await claim_many(cluster.user("alice"), a, RECORDS)
    await cluster.settle()

    joiner = await cluster.add("joiner")
    await cluster.link(joiner, c, push=False)
    took_s = await cluster.settle()

    cluster.expect(records_behind(joiner, a) == 0, "the new node holds all records")
    cluster.expect(took_s < 60, f"it got them within a minute: {took_s:.0f} s")
    cluster.expect(records_behind(b, a) == 0, "the other nodes lost nothing")


async def _long_sleep(cluster: Cluster) -> None:
    a, b, c = await cluster.add_line("a", "b", "c")
    alice = cluster.user("alice")
    await c.stop()
    for number in range(60):
        await alice.claim(a, f"plot-{number % 20}")
        await asyncio.sleep(60)

    await c.start()
    took_s = await cluster.settle()

    cluster.expect(took_s < 30, f"the node that was down for an hour has caught up within {took_s:.0f} s")
    cluster.expect(records_behind(b, a) == 0, "the other nodes hold the same records")


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
    cluster.expect(took_s < 60, f"no record is lost on links that break all the time: all agree after {took_s:.0f} s")


async def _slow_peer(cluster: Cluster) -> None:
    a, b, c = [await cluster.add(name) for name in "abc"]
    await cluster.link(a, b)
    await cluster.link(a, c)
    await cluster.wait_for_links()
    slow = msgspec.structs.replace(FAIR, bytes_per_second=1_000.0)
    for wire in (cluster.wire(a, c), cluster.wire(c, a)):
        wire.weather = slow

    await claim_many(cluster.user("alice"), a, RECORDS)
    await cluster.wait_until(lambda: records_behind(b, a) == 0, "b holds all records")
    behind = records_behind(c, a)
    cluster.expect(behind > 100, f"the slow peer is {behind} records behind, and b did not wait for it")
    for wire in (cluster.wire(a, c), cluster.wire(c, a)):
        wire.weather = FAIR

    took_s = await cluster.settle()
    cluster.expect(took_s < 120, f"the slow peer catches up when its wire is fast again: {took_s:.0f} s")


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
    cluster.expect(took_s < 60, f"a wire that was cut in one direction does no lasting harm: {took_s:.0f} s")


async def _wrong_clock(cluster: Cluster) -> None:
    """A node's clock is ten minutes ahead. Its records are too new for other nodes, and reach them when their time
    comes.
    """
    a = await cluster.add("a")
    b = await cluster.add("b", offset_s=600)
    await cluster.link(a, b)
    await cluster.wait_for_links()
    bob = cluster.user("bob")
    bob.clock.offset_s = 600

    replies = [await bob.claim(b, f"plot-{number}") for number in range(5)]
    cluster.expect(all(reply.is_acknowledged for reply in replies), "the node whose clock is ahead accepts the records")
    await asyncio.sleep(60)
    cluster.expect(records_behind(a, b) == 5, "the other node refuses them at first")
    await asyncio.sleep(300)
    await cluster.settle()

    cluster.expect(records_behind(a, b) == 0, "it accepts them when their time has come")


async def _restored_backup(cluster: Cluster) -> None:
    a, b, c = await cluster.add_line("a", "b", "c")
    alice = cluster.user("alice")
    await claim_many(alice, b, 40, "before")
    backup = cluster.backup(b)
    await claim_many(alice, b, 40, "after")
    await cluster.settle()

    await b.power_cut()
    cluster.restore(b, backup)
    await b.start()
    cluster.expect(records_behind(b, a) == 40, "the restored node lacks the records from after the backup")
    await claim_many(alice, b, 5, "later")

    took_s = await cluster.settle()
    has_all = records_behind(b, a) == records_behind(b, c) == 0
    cluster.expect(has_all, f"its peers give them back within {took_s:.0f} s")


async def _disk_full(cluster: Cluster) -> None:
    a, b = await cluster.add_line("a", "b")
    alice = cluster.user("alice")
    b.disk.free = 0
    await asyncio.sleep(2)

    reply = await alice.claim(b, "here")
    cluster.expect(reply.code == "storage_full", "a node with a full disk refuses records with a code")
    await claim_many(alice, a, 20)
    await asyncio.sleep(30)
    cluster.expect(records_behind(b, a) == 20, "it takes no records from peers either")
    b.disk.free = 2**40

    await cluster.settle()


async def _disk_error(cluster: Cluster) -> None:
    a, b = await cluster.add_line("a", "b")
    alice = cluster.user("alice")
    await alice.claim(a, "before")
    b.disk.is_failing = True
    reply = await alice.claim(b, "during")
    cluster.expect(not reply.is_acknowledged, "a record that is not on disk is not acknowledged")
    await cluster.wait_until(lambda: b.node is None, "b stops, because its memory is ahead of its disk")
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
    cluster.expect(took_s < 60, f"every node was restarted under load, and no record is missing after {took_s:.0f} s")


async def _bridge(cluster: Cluster) -> None:
    """Two cliques are linked by one node only, which is down while both sides write."""
    left = await cluster.add_line("a1", "a2", "a3")
    right = await cluster.add_line("b1", "b2", "b3")
    await cluster.link(left[0], left[2])
    await cluster.link(right[0], right[2])
    bridge = await cluster.add("bridge")
    await cluster.link(bridge, left[1])
    await cluster.link(bridge, right[1])
    await cluster.wait_for_links()
    await bridge.kill()
    await claim_many(cluster.user("alice"), left[0], 30, "left")
    await claim_many(cluster.user("bob"), right[0], 30, "right")
    await cluster.wait_until(
        lambda: records_behind(left[2], left[0]) == records_behind(right[2], right[0]) == 0, "each side is one"
    )

    await bridge.start()
    took_s = await cluster.settle()

    cluster.expect(took_s < 60, f"a bridge that comes back joins both sides within {took_s:.0f} s")


async def _back_after_hours(cluster: Cluster) -> None:
    """After hours without the peer, the pauses between two sync runs are an hour long. An operator asks for a run."""
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
    took_s = await cluster.wait_until(lambda: records_behind(b, a) == 0, "the next claim is synced", within_s=3_600)

    cluster.expect(took_s < 60, f"runs follow at the usual interval again: {took_s:.0f} s")


SCENARIOS = (
    Scenario("half-open", "A peer loses its power without a word: a ping notices.", _half_open),
    Scenario(
        "restart-in-catch-up",
        "Each side crashes during a catch-up: the catch-up goes on.",
        _restart_in_catch_up,
        NARROW,
    ),
    Scenario("joiner", "A node without records joins and pulls: it gets all of them.", _joiner),
    Scenario("long-sleep", "A node that was down for an hour catches up within seconds.", _long_sleep),
    Scenario(
        "back-after-hours",
        "One successful sync run ends the long pauses that a long outage leads to.",
        _back_after_hours,
    ),
    Scenario("flapping", "Links break all the time while users write: no record is lost.", _flapping),
    Scenario("slow-peer", "One peer reads slowly: no other node waits for it, and it catches up.", _slow_peer),
    Scenario("one-way", "A wire is cut in one direction for a while: both nodes agree afterwards.", _one_way),
    Scenario(
        "wrong-clock", "Records of a node whose clock is ahead reach the others when their time comes.", _wrong_clock
    ),
    Scenario(
        "restored-backup", "A node restored from a backup gets the missing records from its peers.", _restored_backup
    ),
    Scenario(
        "disk-full",
        "A node with a full disk refuses records with a code, and catches up when it has room.",
        _disk_full,
        excused=("b",),
    ),
    Scenario(
        "disk-error",
        "A node whose disk fails stops, and has acknowledged no record that is not on disk.",
        _disk_error,
        excused=("b",),
    ),
    Scenario("rolling-restart", "All nodes restart one after another under load: no record is lost.", _rolling_restart),
    Scenario("bridge", "The only node between two halves comes back: both halves agree.", _bridge),
)
