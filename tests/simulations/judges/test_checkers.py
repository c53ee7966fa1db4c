"""The checkers see what they are there for: each rule is broken on purpose, and found."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from simulations.cast.machine import Machine
from simulations.cast.user import DOMAIN
from simulations.cluster import Cluster, NotSettledError
from simulations.judges.convergence import Missing
from simulations.run_result import RunResult, observe
from simulations.world.simulation import Simulation


def run(main: Callable[[Cluster], Awaitable[None]]) -> RunResult:
    cluster = Cluster(Simulation(1))

    async def whole() -> None:
        await main(cluster)

    return observe(cluster, whole())


async def lose_last_commit(machine: Machine, count: int) -> None:
    """What a disk that lies about its writes does at a power cut."""
    await machine.power_cut()
    for database in machine.disk._databases.values():
        database.execute("DELETE FROM events")
        database.execute("UPDATE labels SET head = NULL WHERE head > (SELECT max(no) - ? FROM records)", (count,))
        database.execute("DELETE FROM records WHERE no > (SELECT max(no) - ? FROM records)", (count,))
    await machine.start()


def test_a_committed_record_that_is_gone_after_a_crash_is_found() -> None:
    async def main(cluster: Cluster) -> None:
        a = await cluster.add("a")
        await cluster.user("alice").claim(a, "one")
        for database in a.disk._databases.values():
            database.execute("PRAGMA foreign_keys = OFF")
        await lose_last_commit(a, 1)
        cluster.checkers.check_acknowledged(cluster.machines)

    result = run(main)

    assert any("was committed, and is gone" in fault for fault in result.violations)
    assert any("was acknowledged, and is gone" in fault for fault in result.violations)


def test_a_loss_is_found_though_a_peer_brings_the_record_back() -> None:
    """Else a node that answers before its commit would pass wherever it has peers."""

    async def main(cluster: Cluster) -> None:
        a, _ = await cluster.add_line("a", "b")
        await cluster.user("alice").claim(a, "one")
        await cluster.settle()
        for database in a.disk._databases.values():
            database.execute("PRAGMA foreign_keys = OFF")
        await lose_last_commit(a, 1)
        await cluster.settle()

    result = run(main)

    assert any("was acknowledged, and is gone" in fault for fault in result.violations)


def test_what_a_restored_backup_lacks_is_no_loss_however_often_one_is_restored() -> None:
    """Seed 178036647: only the last restore was remembered."""

    async def main(cluster: Cluster) -> None:
        a = await cluster.add("a")
        alice = cluster.user("alice")
        for label in ("one", "two"):
            backup = cluster.backup(a)
            await asyncio.sleep(1)
            await alice.claim(a, label)
            await a.power_cut()
            cluster.restore(a, backup)
            await a.start()
        cluster.checkers.check_acknowledged(cluster.machines)

    assert run(main).violations == []


def test_what_does_not_flow_is_named_with_its_record_and_its_way() -> None:
    async def main(cluster: Cluster) -> None:
        a, b = await cluster.add_line("a", "b")
        cluster.partition([a])
        await cluster.user("alice").claim(a, "one")
        (record,) = [known.record for known in cluster.acknowledgements]
        assert cluster.missing() == [Missing("a", "b", DOMAIN, [record.id])]
        with pytest.raises(NotSettledError, match=f"b lacks 1 records of {DOMAIN} that a holds: {record.id[:8]}"):
            await cluster.settle(within_s=30)
        await b.kill()
        assert "down" in str(cluster.missing()[0])

    assert run(main).violations == []


def test_an_error_that_a_node_logs_and_one_that_nobody_catches_are_faults() -> None:
    async def main(cluster: Cluster) -> None:
        a = await cluster.add("a")
        with a.host.here():
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    result = run(main)

    assert [fault for fault in result.violations if "ZeroDivisionError" in fault] != []


def test_a_scenario_that_expects_what_is_not_so_fails() -> None:
    async def main(cluster: Cluster) -> None:
        cluster.expect(True, "this is so")
        cluster.expect(False, "the earth is flat")

    assert run(main).violations == ["0.000 s, : expected: the earth is flat"]
