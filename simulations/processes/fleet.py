"""A fleet: three processes on one PostgreSQL database, of which one writes, and how they go on when it is killed.

    writers --claims-->  any process  --relay-->  the one that writes  --COMMIT-->  PostgreSQL
    a reader <--events--  any process  <--NOTIFY--

People write through all three processes, as behind a load balancer, and a reader follows the stream of events. Then the
process that writes is killed, or stopped for a while, and another one takes over. No claim that was acknowledged may be
lost, the reader, which goes on at another process, may miss no event and get none twice, and a process that lost the
right to write may commit nothing more.

The exit code is 1 if a promise is broken, and 2 if there is no server to run on.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from node.client.answers import signed_records
from node.client.http import NodeClient
from node.store.postgresql.inspection import terms
from simulations.processes.fleet_load import Load, Reader
from simulations.processes.fleet_processes import WAIT_S_MAX, Processes, patiently, three_processes
from simulations.processes.fleet_result import Blow, FleetPlan, FleetResult, Takeover, show_result
from simulations.processes.postgres import programs, running_server
from simulations.processes.process import LocalNode

VARIABLE: Final = "DNARC_TEST_POSTGRES"
"""The URL of an empty database of one's own, in the place of a server that the run starts."""

WIDTH: Final = 120
IDS_PER_REQUEST: Final = 100

BROKEN: Final = 1
NO_SERVER: Final = 2
INTERRUPTED: Final = 128 + signal.SIGINT
TERMINATED: Final = 128 + signal.SIGTERM
"""Exit codes."""

Tell = Callable[[str], None]
"""Tells people what happens."""


def run_fleet(plan: FleetPlan, processes: Processes, result: FleetResult, console: Console) -> None:
    """Let people write while the writer is killed and stopped again and again, and check every promise then.

    Raises:
        TimeoutError: nobody took over, or no claim was acknowledged any more.
    """
    urls = [node.url for node in processes.nodes]
    with bar(plan.claims, console) as show:
        load, reader = Load(urls, show), Reader(urls)
        threading.Thread(target=reader.follow, daemon=True).start()
        people = [threading.Thread(target=load.write, args=(number,), daemon=True) for number in range(plan.people)]
        for each in people:
            each.start()
        try:
            strike_again_and_again(plan, processes, load, result, console)
            load.await_claims(plan.claims)
        finally:
            load.end()
            for each in people:
                each.join()
    try:
        check(processes, load, reader, result)
    finally:
        reader.end()


def strike_again_and_again(
    plan: FleetPlan, processes: Processes, load: Load, result: FleetResult, console: Console
) -> None:
    """Raises: TimeoutError: nobody took over, or no claim was acknowledged any more."""
    blows = plan.blows
    for number, blow in enumerate(blows, 1):
        load.await_claims(plan.claims * number // (len(blows) + 1))

        def tell(words: str, place: str = f"{number}/{len(blows)}") -> None:
            console.print(f"{place} {words}", highlight=False)

        strike = kill_writer if blow is Blow.KILL else pause_writer
        result.takeovers.append(strike(plan, processes, load, tell))


@contextmanager
def bar(total: int, console: Console) -> Iterator[Callable[[int], None]]:
    """A bar of the claims. Returns what moves it."""
    columns = (TextColumn("claims acknowledged"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("claims", total=total)
        yield lambda done: progress.update(task, completed=done)


def kill_writer(_: FleetPlan, processes: Processes, load: Load, tell: Tell) -> Takeover:
    """Kill the process that writes, wait until another one does, and start the killed one again: it follows."""
    victim, term = processes.await_writer(0)
    killed_s = time.monotonic()
    victim.kill()
    successor, next_term = processes.await_writer(term)
    ready_s = time.monotonic() - killed_s
    claim_s = load.first_after(killed_s)
    tell(f"{victim.name} is killed while it writes. {successor.name} writes after {ready_s:.2f} s.")
    victim.start()
    return Takeover(Blow.KILL, victim.name, successor.name, next_term, ready_s, claim_s)


def pause_writer(plan: FleetPlan, processes: Processes, load: Load, tell: Tell) -> Takeover:
    """Stop the process that writes for a while, and see that it follows when it goes on."""
    victim, term = processes.await_writer(0)
    stopped_s = time.monotonic()
    victim.process.send_signal(signal.SIGSTOP)
    try:
        successor, next_term = processes.await_writer(term, without=victim)
        ready_s = time.monotonic() - stopped_s
        claim_s = load.first_after(stopped_s)
        tell(
            f"{victim.name} is stopped for {plan.pause_s:g} s while it writes. {successor.name} writes after "
            f"{ready_s:.2f} s."
        )
        time.sleep(max(0.0, stopped_s + plan.pause_s - time.monotonic()))
    finally:
        victim.process.send_signal(signal.SIGCONT)
    processes.await_follower(victim)
    return Takeover(Blow.PAUSE, victim.name, successor.name, next_term, ready_s, claim_s)


def check(processes: Processes, load: Load, reader: Reader, result: FleetResult) -> None:
    """Look for every acknowledged claim at every process, and in the stream.

    Raises:
        TimeoutError: the processes differ.
    """
    ids = [record_id for record_id, _, _ in load.acknowledged]
    result.acknowledged, result.repeated = len(ids), load.repeated
    processes.await_one_state()
    with suppress(TimeoutError):  # the number of events shows it
        for _ in patiently("the stream lacks acknowledged claims"):
            if reader.ids.issuperset(ids):
                break
    result.events = len(reader.ids)
    result.skipped, result.doubled, result.connections = reader.skipped, reader.doubled, reader.connections
    for node in processes.nodes:
        result.lost += lost_at(node, ids)


def lost_at(node: LocalNode, ids: Sequence[str]) -> list[str]:
    """The ids of the records among these that the process does not hold."""
    lost: list[str] = []
    with NodeClient(node.url, timeout_s=WAIT_S_MAX) as client:
        for start in range(0, len(ids), IDS_PER_REQUEST):
            part = ids[start : start + IDS_PER_REQUEST]
            answer = client.ask("GET", "/records?" + "&".join(f"id={each}" for each in part))
            found = {each.record.id for each in signed_records(answer.body)} if answer.status == 200 else set()
            lost += [each for each in part if each not in found]
    return lost


@contextmanager
def database() -> Iterator[str]:
    """The URL of an empty database."""
    named = os.environ.get(VARIABLE)
    if named:
        yield named
        return
    with running_server() as server:
        yield server.url()


def play(plan: FleetPlan, console: Console) -> FleetResult:
    """Run the plan on a database of its own."""
    result = FleetResult()
    console.print(plan.in_words())
    with (
        TemporaryDirectory(prefix="dnarc-fleet-") as folder,
        database() as url,
        three_processes(url, Path(folder)) as processes,
    ):
        for node in processes.nodes:
            console.print(f"Process {node.name} answers at {node.url}")
        try:
            run_fleet(plan, processes, result, console)
        except TimeoutError as error:
            result.stuck = str(error)
        result.terms = terms(url)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    parser = argparse.ArgumentParser(prog="make fleet", description="A fleet whose writer is killed.")
    parser.add_argument("--claims", type=int, default=FleetPlan.claims, help="claims to acknowledge")
    parser.add_argument("--kills", type=int, default=FleetPlan.kills, help="how often the writer is killed")
    parser.add_argument("--pauses", type=int, default=FleetPlan.pauses, help="how often the writer is stopped")
    parser.add_argument("--pause-s", type=float, default=FleetPlan.pause_s, help="seconds that it is stopped for")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, and all else to stderr")
    given = parser.parse_args(arguments)
    console = Console(stderr=given.json, width=None if sys.stdout.isatty() else WIDTH)
    if programs() is None and not os.environ.get(VARIABLE):
        console.print(f"No PostgreSQL server is here: name an empty database by {VARIABLE}=postgresql://…")
        return NO_SERVER
    plan = FleetPlan(claims=given.claims, kills=given.kills, pauses=given.pauses, pause_s=given.pause_s)
    try:
        result = play(plan, console)
    except KeyboardInterrupt:
        console.print("The run was interrupted, and proves nothing.")
        return INTERRUPTED
    show_result(result, plan, console)
    if given.json:
        print(json.dumps(result.as_json(plan), indent=2))
    broken = result.broken(plan)
    for words in broken:
        console.print(f"[red]A promise of the fleet is broken: {words}.[/red]")
    if broken:
        return BROKEN
    console.print(
        f"Kills: {plan.kills}, pauses: {plan.pauses}. No acknowledged claim is lost, no event is skipped or doubled, "
        "and no two terms wrote at once."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
