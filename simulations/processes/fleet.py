"""A fleet: three processes on one PostgreSQL database, of which one writes, and how they go on when it is killed.

    writers --claims-->  any process  --relay-->  the one that writes  --COMMIT-->  PostgreSQL
    a reader <--events--  any process  <--NOTIFY--

People write through all three processes, as behind a load balancer, and a reader follows the stream of events. Then the
process that writes is killed, and another one takes over. No claim that was acknowledged may be lost, and the reader,
which goes on at another process, may miss no event. The run ends with exit code 1 if a promise is broken.
"""

import argparse
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count, cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from node.client.answers import signed_records
from node.client.errors import ClientError
from node.client.following import Follower, Goodbye
from node.client.http import NodeClient
from node.store.postgresql.inspection import terms
from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey
from simulations.processes.postgres import programs, running_server
from simulations.processes.process import LocalNode

VARIABLE: Final = "DNARC_TEST_POSTGRES"
"""The URL of an empty database of one's own, in the place of a server that the run starts."""

DOMAIN: Final = "fleet.example"
WIDTH: Final = 120
TIMEOUT_S: Final = 5.0
"""How long a caller waits for an answer."""

WAIT_S_MAX: Final = 60.0
"""How long any step may take before the run counts as failed."""

POLL_S: Final = 0.01
RETRY_S: Final = 0.02
IDS_PER_REQUEST: Final = 100

console = Console() if sys.stdout.isatty() else Console(width=WIDTH)


@dataclass(frozen=True)
class FleetPlan:
    """How many claims to acknowledge at least, how many people write at once, how often the writer is killed, how often
    it is stopped, and for how long.
    """

    claims: int = 3_000
    people: int = 4
    kills: int = 2
    pauses: int = 0
    pause_s: float = 30.0


@dataclass
class Takeover:
    """What a kill or a pause did. `ready_s`: until another process said that it writes. `pause_s`: until a claim was
    acknowledged that was sent after it.
    """

    killed: str
    successor: str
    term: int
    ready_s: float
    pause_s: float


@dataclass
class FleetResult:
    """What the run saw. `lost`: acknowledged ids that a process lacks at the end. `skipped`: events that the stream
    left out. `repeated`: requests that were sent again. `terms`: those of the commits in their order, each named once
    for each run of commits.
    """

    acknowledged: int = 0
    repeated: int = 0
    events: int = 0
    skipped: int = 0
    connections: int = 0
    lost: list[str] = field(default_factory=list)
    takeovers: list[Takeover] = field(default_factory=list)
    terms: list[int] = field(default_factory=list)
    is_one_state: bool = False

    def is_good(self, plan: FleetPlan) -> bool:
        return (
            self.is_one_state
            and not self.lost
            and not self.skipped
            and self.events >= self.acknowledged >= plan.claims
            and len(self.takeovers) == plan.kills + plan.pauses
            and self.terms == sorted(set(self.terms))
        )


class Processes:
    """The processes of the fleet, and what they say of themselves."""

    def __init__(self, nodes: Sequence[LocalNode]) -> None:
        self.nodes = list(nodes)

    def standings(self, without: LocalNode | None = None) -> dict[str, dict[str, Any]]:
        """What each process that answers says of its place in the fleet, by name. `without`: one that is not asked."""
        found = {}
        for node in self.nodes:
            if node.process.poll() is None and node is not without:
                with suppress(ClientError), NodeClient(node.url, timeout_s=TIMEOUT_S) as client:
                    found[node.name] = client.get("/node")["fleet"]
        return found

    def await_writer(self, after_term: int, without: LocalNode | None = None) -> tuple[LocalNode, int]:
        """The process that writes in a term after this one, and its term. `without`: one that is not asked.

        Raises:
            TimeoutError: there is none.
        """
        for _ in patiently("no process took over"):
            for name, standing in self.standings(without).items():
                if standing["role"] == "writer" and standing["term"] > after_term:
                    return next(node for node in self.nodes if node.name == name), int(standing["term"])
        raise AssertionError("`patiently` ends by an error")

    def await_follower(self, node: LocalNode) -> None:
        """Wait until this process follows. Raises: TimeoutError: it does not."""
        for _ in patiently(f"{node.name} does not follow"):
            if self.standings().get(node.name, {}).get("role") == "follower":
                return

    def await_one_state(self) -> None:
        """Wait until all processes hold the same records. Raises: TimeoutError: they differ."""
        for _ in patiently("the processes differ"):
            held = []
            for node in self.nodes:
                with NodeClient(node.url, timeout_s=TIMEOUT_S) as client:
                    held.append(client.get("/node")["domains"].get(DOMAIN))
            if all(each == held[0] for each in held):
                return


def patiently(what: str) -> Iterator[None]:
    """Tries with pauses. Raises: TimeoutError: `WAIT_S_MAX` are over."""
    deadline_s = time.monotonic() + WAIT_S_MAX
    while time.monotonic() < deadline_s:
        yield
        time.sleep(POLL_S)
    raise TimeoutError(f"{what} after {WAIT_S_MAX:.0f} s")


class Load:
    """People who write through all processes in turn. A claim without an answer is sent again, to the next process."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls
        self._lock = threading.Lock()
        self.repeated = 0
        self.acknowledged: list[tuple[str, float, float]] = []
        """The id of each claim, and when it was sent first and acknowledged, by the monotonic clock."""
        self._ending = threading.Event()

    def end(self) -> None:
        """Begin no further claim."""
        self._ending.set()

    def write(self, number: int) -> None:
        """One person writes until the load ends. `number`: which process comes first."""
        key = SigningKey(secrets.token_bytes(32))
        urls = cycle([*self._urls[number % len(self._urls) :], *self._urls[: number % len(self._urls)]])
        for place in count():
            if self._ending.is_set():
                return
            label = f"plot-{number}-{place}"
            record = make({"domain": DOMAIN, "label": label, "signedby": key.public, "timestamp": int(time.time())})
            self._put(sign(record, key), urls)

    def _put(self, claim: SignedRecord, urls: Iterator[str]) -> None:
        sent_s = time.monotonic()
        while not self._ending.is_set():
            with suppress(ClientError), NodeClient(next(urls), timeout_s=TIMEOUT_S) as client:
                answer = client.ask("PUT", f"/claims/{claim.signature}", body=claim.record.canonical)
                if answer.status in (200, 201):
                    with self._lock:
                        self.acknowledged.append((claim.record.id, sent_s, time.monotonic()))
                    return
            with self._lock:
                self.repeated += 1
            time.sleep(RETRY_S)

    def first_after(self, moment_s: float) -> float:
        """Seconds from this moment until a claim was acknowledged that was sent after it.

        Raises:
            TimeoutError: there is none.
        """
        for _ in patiently("no claim was acknowledged"):
            with self._lock:
                ends = [acknowledged_s for _, sent_s, acknowledged_s in self.acknowledged if sent_s > moment_s]
            if ends:
                return min(ends) - moment_s
        raise AssertionError("`patiently` ends by an error")


class Reader:
    """Follows the stream of events from its beginning. It goes on at the next process when a connection ends."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = cycle(urls)
        self.connections = 0
        self.ids: set[str] = set()
        self.last = 0
        self.skipped = 0
        self._ending = threading.Event()

    def end(self) -> None:
        """Open no further connection."""
        self._ending.set()

    def follow(self) -> None:
        """Read until `end` was called and the connection has ended."""
        follower = Follower(self._connect, [], "0", self._on_trouble)
        with suppress(Goodbye):
            for event in follower.events():
                self.skipped += event.seq - self.last - 1
                self.last = event.seq
                self.ids.add(event.id)

    def _on_trouble(self, reason: str, _wait_s: float) -> None:
        if self._ending.is_set():
            raise Goodbye(reason)

    def _connect(self) -> NodeClient:
        self.connections += 1
        return NodeClient(next(self._urls), timeout_s=TIMEOUT_S)


def run_fleet(plan: FleetPlan, processes: Processes, result: FleetResult) -> None:
    """Let people write while the writer is killed again and again, and check every promise then.

    Raises:
        TimeoutError: nobody took over, or no claim was acknowledged any more.
    """
    urls = [node.url for node in processes.nodes]
    load, reader = Load(urls), Reader(urls)
    threading.Thread(target=reader.follow, daemon=True).start()
    people = [threading.Thread(target=load.write, args=(number,), daemon=True) for number in range(plan.people)]
    for each in people:
        each.start()
    try:
        with bar(plan.claims) as show:
            steps = [kill_writer] * plan.kills + [partial(pause_writer, plan.pause_s)] * plan.pauses
            for number, step in enumerate(steps, 1):
                await_claims(load, plan.claims * number // (len(steps) + 1), show)
                result.takeovers.append(step(processes, load))
            await_claims(load, plan.claims, show)
    finally:
        load.end()
        reader.end()
        for each in people:
            each.join()
    check(processes, load, reader, result)


@contextmanager
def bar(total: int) -> Iterator[Progress]:
    columns = (TextColumn("claims acknowledged"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        progress.add_task("claims", total=total)
        yield progress


def await_claims(load: Load, wanted: int, show: Progress) -> None:
    """Raises: TimeoutError: so many claims were not acknowledged."""
    for _ in patiently(f"fewer than {wanted} claims are acknowledged"):
        show.update(show.task_ids[0], completed=len(load.acknowledged))
        if len(load.acknowledged) >= wanted:
            return


def kill_writer(processes: Processes, load: Load) -> Takeover:
    """Kill the process that writes, wait until another one does, and start the killed one again: it follows."""
    victim, term = processes.await_writer(0)
    killed_s = time.monotonic()
    victim.kill()
    successor, next_term = processes.await_writer(term)
    ready_s = time.monotonic() - killed_s
    pause_s = load.first_after(killed_s)
    victim.start()
    console.print(
        f"{victim.name} is killed (kill -9) while it writes. {successor.name} writes after {ready_s * 1000:.0f} ms. "
        f"{victim.name} starts again and follows."
    )
    return Takeover(victim.name, successor.name, next_term, ready_s, pause_s)


def pause_writer(seconds: float, processes: Processes, load: Load) -> Takeover:
    """Stop the process that writes for so long, and see that it follows when it goes on."""
    victim, term = processes.await_writer(0)
    stopped_s = time.monotonic()
    victim.process.send_signal(signal.SIGSTOP)
    try:
        successor, next_term = processes.await_writer(term, without=victim)
        ready_s = time.monotonic() - stopped_s
        pause_s = load.first_after(stopped_s)
        time.sleep(max(0.0, stopped_s + seconds - time.monotonic()))
    finally:
        victim.process.send_signal(signal.SIGCONT)
    processes.await_follower(victim)
    console.print(
        f"{victim.name} is stopped (SIGSTOP) while it writes. {successor.name} writes after {ready_s * 1000:.0f} ms. "
        f"{victim.name} goes on after {seconds:.0f} s and follows."
    )
    return Takeover(victim.name, successor.name, next_term, ready_s, pause_s)


def check(processes: Processes, load: Load, reader: Reader, result: FleetResult) -> None:
    """Look for every acknowledged claim at every process, and in the stream.

    Raises:
        TimeoutError: the processes differ, or the stream does not bring every claim.
    """
    ids = [record_id for record_id, _, _ in load.acknowledged]
    processes.await_one_state()
    result.is_one_state = True
    for _ in patiently("the stream lacks acknowledged claims"):
        if reader.ids.issuperset(ids):
            break
    result.acknowledged, result.repeated = len(ids), load.repeated
    result.events, result.skipped, result.connections = len(reader.ids), reader.skipped, reader.connections
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


def show_result(result: FleetResult, processes: Processes) -> None:
    takeovers = Table(
        "killed or stopped", "took over", "term", "writes after", "a new claim acknowledged after", title="Takeovers"
    )
    for each in result.takeovers:
        times = (f"{each.ready_s * 1000:.0f} ms", f"{each.pause_s * 1000:.0f} ms")
        takeovers.add_row(each.killed, each.successor, str(each.term), *times)
    console.print(takeovers)
    standings = Table("process", "role", "term", "commit", title="At the end")
    for name, standing in processes.standings().items():
        standings.add_row(name, standing["role"], str(standing["term"]), str(standing["commit"]))
    console.print(standings)
    promises = Table("promise", "seen", title="Promises")
    promises.add_row("claims acknowledged", f"{result.acknowledged:,} (sent again: {result.repeated:,})")
    promises.add_row("acknowledged claims lost", str(len(result.lost)))
    promises.add_row("terms, in the order of commits", ", ".join(map(str, result.terms)))
    promises.add_row("events that the stream skipped", f"{result.skipped} of {result.events:,}")
    promises.add_row("connections that the reader of the stream needed", str(result.connections))
    console.print(promises)


@contextmanager
def database() -> Iterator[str]:
    """The URL of an empty database."""
    named = os.environ.get(VARIABLE)
    if named:
        yield named
        return
    with running_server() as server:
        yield server.url()


@contextmanager
def fleet(url: str, folder: Path) -> Iterator[Processes]:
    """Three processes on this database. The first one makes the tables, and the key of the fleet."""
    with ExitStack() as stack:
        nodes = []
        for name in ("one", "two", "three"):
            node = LocalNode(name, folder / name, ("--store", url))
            node.start()
            stack.callback(node.stop)
            nodes.append(node)
            console.print(f"Process {name} answers at {node.url}")
        yield Processes(nodes)


def play(plan: FleetPlan) -> FleetResult:
    """Run the plan on a database of its own, and show what came of it."""
    result = FleetResult()
    with (
        TemporaryDirectory(prefix="dnarc-fleet-") as folder,
        database() as url,
        fleet(url, Path(folder)) as processes,
    ):
        try:
            run_fleet(plan, processes, result)
            result.terms = terms(url)
        except TimeoutError as error:
            console.print(f"[red]{error}[/red]")
        show_result(result, processes)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(prog="make fleet", description="A fleet whose writer is killed.")
    parser.add_argument("--claims", type=int, default=FleetPlan.claims, help="claims to acknowledge")
    parser.add_argument("--kills", type=int, default=FleetPlan.kills, help="how often the writer is killed")
    parser.add_argument("--pauses", type=int, default=FleetPlan.pauses, help="how often the writer is stopped")
    parser.add_argument("--pause-s", type=float, default=FleetPlan.pause_s, help="seconds that it is stopped for")
    given = parser.parse_args(arguments)
    if programs() is None and not os.environ.get(VARIABLE):
        console.print(f"No PostgreSQL server is here: name an empty database by {VARIABLE}=postgresql://…")
        return 0
    plan = FleetPlan(claims=given.claims, kills=given.kills, pauses=given.pauses, pause_s=given.pause_s)
    if not play(plan).is_good(plan):
        console.print("[red]A promise of the fleet is broken.[/red]")
        return 1
    console.print("No acknowledged claim is lost, and the stream went on without a gap.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
