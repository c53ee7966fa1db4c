"""The demo: three nodes as real processes, linked A - B - C, and how they cope with failures.

    A  --link-->  B  <--link--  C          A and C each push to B and pull from B

A claim that is made on A is on C at once. A node that was killed catches up after its restart. If two people found one
label on two sides of a partition, all nodes agree on the owner afterwards. The state of a label depends only on the set
of its records, so links only have to make the sets equal. Finally, four witnesses make claims final, so that nobody can
take them back (`demo_witnesses`). The demo ends with exit code 1 if something failed.
"""

import secrets
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.progress import track
from websockets.sync.client import connect

from node.cli.output.screen import table
from node.cli.output.text import moment, short
from node.client.http import NodeClient
from node.client.targets import path_of
from protocol.records.record import Record, SignedRecord, make, sign
from protocol.signing import SigningKey
from simulations.processes.demo_witnesses import tell_of_witnesses
from simulations.processes.process import LocalNode, running

DOMAIN: Final = "example.org"
CLAIMS: Final = 500
BATCH_RECORDS: Final = 100
TIMED: Final = 50
CLAIMS_APART: Final = 200
CONVERGE_S_MAX: Final = 120.0
POLL_S: Final = 0.01
PLAY_RECORDS: Final = 5
"""Records of the labels `garden` and `lighthouse`."""

WIDTH: Final = 120
"""Columns of a table if the output is no terminal."""

PEOPLE: Final = {name: SigningKey(secrets.token_bytes(32)) for name in ("alice", "bob", "carol")}
NAMES: Final = {key.public: name for name, key in PEOPLE.items()}

console = Console() if sys.stdout.isatty() else Console(width=WIDTH)


def signed_claim(who: str, label: str, at: int, prev: Record | None = None, **fields: Any) -> SignedRecord:
    """A record of this label, signed by this person. `at`: its timestamp."""
    key = PEOPLE[who]
    body = {"domain": DOMAIN, "label": label, "signedby": key.public, "timestamp": at, **fields}
    return sign(make(body if prev is None else body | {"prev": prev.id}), key)


def put(client: NodeClient, claims: Sequence[SignedRecord]) -> list[dict[str, Any]]:
    """Send these claims, all of which the node must accept. Returns its answer about each claim."""
    records = {it.signature: msgspec.Raw(it.record.canonical) for it in claims}
    answers = client.ask("PUT", "/claims", body=msgspec.json.encode(records)).value()
    refused = [answer for answer in answers.values() if answer["status"] != "accepted"]
    assert not refused, f"the demo's own claims are good: {refused}"
    return [answers[it.signature] for it in claims]


class Trio:
    """The three nodes, with a client for each."""

    def __init__(self, nodes: Sequence[LocalNode]) -> None:
        """`nodes`: running, with the names A, B and C."""
        self.nodes = {node.name: node for node in nodes}
        self.clients = {node.name: node.client() for node in nodes}
        self.keys = {name: client.get("/node")["node"] for name, client in self.clients.items()}

    def link(self, name: str) -> None:
        """Let this node dial B, to push and to pull, and let B accept its pushes."""
        self.put_peer(name, url=self.nodes["B"].link_url, push=True, pull=True)
        self.put_peer("B", key=self.keys[name], accept=True)

    def unlink(self, name: str) -> None:
        """Take B out of this node's peers, which closes the link."""
        self.clients[name].ask("DELETE", "/peers", {"url": self.nodes["B"].link_url}).check()

    def put_peer(self, name: str, **peer: Any) -> None:
        self.clients[name].ask("PUT", "/peers", body=msgspec.json.encode(peer)).check()

    def views(self) -> dict[str, dict[str, Any]]:
        return {name: view(client) for name, client in self.clients.items()}

    def converge(self) -> float:
        """Wait until all three nodes hold the same records. Returns how long that took, in seconds.

        Raises:
            TimeoutError: they still differ after `CONVERGE_S_MAX`.
        """
        begun = time.monotonic()
        while not self._is_same():
            if time.monotonic() - begun > CONVERGE_S_MAX:
                raise TimeoutError(f"the three nodes differ after {CONVERGE_S_MAX:.0f} s: {self.views()}")
            time.sleep(POLL_S)
        return time.monotonic() - begun

    def _is_same(self) -> bool:
        first, *others = [client.get("/node")["domains"].get(DOMAIN) for client in self.clients.values()]
        return all(other == first for other in others)


def make_many(client: NodeClient, label: str, count: int, what: str) -> None:
    """Claim `count` labels whose names begin with `label`, in batches. `what`: the text beside the progress bar."""
    now = int(time.time())
    claims = [
        signed_claim("alice", f"{label}-{number}", now - 60, crop="beans", number=number) for number in range(count)
    ]
    batches = [claims[start : start + BATCH_RECORDS] for start in range(0, count, BATCH_RECORDS)]
    for batch in track(batches, what, console=console):
        put(client, batch)


def spread(trio: Trio) -> None:
    """Make many claims at once. Then make single claims, and measure how long each takes to the other end
    of the chain.
    """
    make_many(trio.clients["A"], "plot", CLAIMS, f"Alice makes {CLAIMS} claims on A")
    console.print(f"All three nodes hold them {trio.converge() * 1000:.0f} ms after the last one was accepted.")
    latencies_ms = []
    with connect(f"{trio.nodes['C'].link_url}/stream?domain={DOMAIN}") as stream:
        for number in track(range(TIMED), "Alice makes one claim at a time, and a client follows C", console=console):
            record = signed_claim("alice", f"stop-{number}", int(time.time()))
            begun = time.perf_counter()
            put(trio.clients["A"], [record])
            while msgspec.json.decode(stream.recv(timeout=CONVERGE_S_MAX))["id"] != record.record.id:
                pass
            latencies_ms.append((time.perf_counter() - begun) * 1000)
    median, slowest = statistics.median(latencies_ms), max(latencies_ms)
    console.print(
        f"From the request to A, over B, until the stream of C shows the record, with 3 commits and 3 verifications:\n"
        f"[b]{median:.1f} ms[/b] in the median of {TIMED}, {slowest:.1f} ms at most.\n"
    )


def hand_over(trio: Trio) -> None:
    """Alice founds a label on A and offers it to Bob. Bob accepts it on C."""
    now = int(time.time())
    founded = signed_claim("alice", "garden", now - 5, gate="green")
    offered = signed_claim("alice", "garden", now - 4, founded.record, gate="green", newowner=PEOPLE["bob"].public)
    taken = signed_claim("bob", "garden", now - 3, offered.record, gate="blue")
    verdicts = [answer["verdict"] for answer in put(trio.clients["A"], [founded, offered])]
    trio.converge()
    verdicts += [answer["verdict"] for answer in put(trio.clients["C"], [taken])]
    trio.converge()
    console.print(f"Alice offers her [b]garden[/b] on A, and Bob accepts it on C: {', '.join(verdicts)}.\n")


def kill_and_restart(trio: Trio) -> None:
    """Kill the node in the middle, while the others go on accepting claims, and start it again."""
    middle = trio.nodes["B"]
    middle.kill()
    console.print("B is killed (kill -9). A and C have no link any more, and still accept claims:")
    for name in ("A", "C"):
        make_many(trio.clients[name], f"alone-{name}", CLAIMS_APART, f"Alice makes {CLAIMS_APART} claims on {name}")
    show_views("While B is down", {name: view(trio.clients[name]) for name in ("A", "C")})
    begun = time.monotonic()
    middle.start()
    ready_s = time.monotonic() - begun
    trio.clients["B"] = middle.client()
    caught_up_s = trio.converge()
    console.print(
        f"B starts again and answers after {ready_s:.1f} s. After {caught_up_s:.2f} s more all hold the same records.\n"
    )


def part_and_heal(trio: Trio) -> None:
    """Two people found one label on two sides of a partition. Each side must accept its founder."""
    trio.unlink("C")
    now = int(time.time())
    put(trio.clients["A"], [signed_claim("alice", "lighthouse", now - 2, keeper="Alice")])
    put(trio.clients["C"], [signed_claim("carol", "lighthouse", now - 1, keeper="Carol")])
    console.print("C is cut off. Alice founds [b]lighthouse[/b] on A. A second later Carol founds it on C.")
    show_views("While C is cut off", trio.views())
    trio.link("C")
    console.print(f"The link is back, and {trio.converge():.2f} s later all three nodes hold the same records.")


def view(client: NodeClient) -> dict[str, Any]:
    """What a node shows to everybody: its set of records, and the head and owner of two labels."""
    answer: dict[str, Any] = dict(client.get("/node")["domains"].get(DOMAIN, {}))
    for label in ("garden", "lighthouse"):
        reply = client.ask("GET", path_of("claims", DOMAIN, label) + "/history")
        history = reply.value() if reply.status == 200 else {"head": None, "owner": None, "contested": False}
        answer[label] = {name: history[name] for name in ("head", "owner", "contested")}
    return answer


def show_views(title: str, views: dict[str, dict[str, Any]]) -> None:
    rows = []
    for name, answer in views.items():
        count, fingerprint = answer.get("count", 0), answer.get("fingerprint", "")
        contested = "yes" if answer["lighthouse"]["contested"] else "no"
        rows.append((name, count, fingerprint, _cell(answer["garden"]), _cell(answer["lighthouse"]), contested))
    columns = ("node", "#records", "fingerprint", "garden", "lighthouse", "lighthouse contested")
    console.print(table(columns, rows, title), "")


def _cell(state: dict[str, Any]) -> str:
    """The owner of a label, and the first digits of its head's id."""
    return f"{NAMES[state['owner']]}'s, {short(state['head'])}" if state["head"] else "nothing"


def show_why(client: NodeClient) -> None:
    history = client.get(path_of("claims", DOMAIN, "lighthouse") + "/history")
    rows = [
        (moment(entry["record"]["timestamp"]), NAMES[entry["record"]["signedby"]], entry["verdict"], short(entry["id"]))
        for entry in history["records"]
    ]
    title = "Why: every record of lighthouse, on C"
    console.print(table(("written", "signed by", "verdict", "record"), rows, title), "")


def tell_story(nodes: Sequence[LocalNode]) -> bool:
    """Play the whole demo. Returns whether all three nodes show the same at the end, with no record missing."""
    trio = Trio(nodes)
    for name in ("A", "C"):
        trio.link(name)
    console.print("A and C dial B, to push and to pull. B accepts what the keys of A and C push.\n")
    spread(trio)
    hand_over(trio)
    kill_and_restart(trio)
    part_and_heal(trio)
    views = trio.views()
    show_views("At the end", views)
    show_why(trio.clients["C"])
    answer, *others = views.values()
    count = CLAIMS + TIMED + 2 * CLAIMS_APART + PLAY_RECORDS
    is_whole = answer["count"] == count and answer["lighthouse"]["contested"]
    return is_whole and all(other == answer for other in others)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun = time.monotonic()
    with TemporaryDirectory(prefix="dnarc-demo-") as folder, ExitStack() as stack:
        nodes = [
            stack.enter_context(running(name, Path(folder) / name))
            for name in track("ABC", "Starting three nodes", console=console)
        ]
        for node in nodes:
            console.print(f"Node {node.name} answers at {node.url}")
        is_same = tell_story(nodes)
        if not is_same:
            console.print("[red]The three nodes differ.[/red]")
            return 1
        console.print(f"The three nodes give the same answer, {time.monotonic() - begun:.1f} s after the start.")
        if not tell_of_witnesses(Path(folder) / "witnesses", console):
            console.print("[red]The witnesses failed: a final claim was lost, or none became final.[/red]")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
