"""The demo: three nodes as real processes, out of step on purpose, and how they come to the same answer.

    A  --push-->  B  <--pull--  C          and, so that what began on C gets home, C --push--> B, A --pull--> B

A label's state depends on the set of its records alone, so all that sync has to do is to make the sets equal. The demo
ends with exit code 1 where they are not.
"""

import secrets
import signal
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
from rich.table import Table

from node.client import NodeClient, path_of
from protocol.record import Record, SignedRecord, make, sign
from protocol.signing import SigningKey
from simulations.local import LocalNode, running

DOMAIN: Final = "example.org"
CLAIMS: Final = 500
BATCH_RECORDS: Final = 100
WIDTH: Final = 120
"""Columns of a table where the output is no terminal."""

PEOPLE: Final = {name: SigningKey(secrets.token_bytes(32)) for name in ("alice", "bob", "carol")}
NAMES: Final = {key.public: name for name, key in PEOPLE.items()}

console = Console() if sys.stdout.isatty() else Console(width=WIDTH)


def claim(who: str, label: str, at: int, prev: Record | None = None, **fields: Any) -> SignedRecord:
    """A record of this label, signed by that person."""
    key = PEOPLE[who]
    body = {"domain": DOMAIN, "label": label, "signedby": key.public, "timestamp": at, **fields}
    return sign(make(body if prev is None else body | {"prev": prev.id}), key)


def put(client: NodeClient, claims: Sequence[SignedRecord]) -> list[dict[str, Any]]:
    """Make these claims; every one has to be accepted. Returns what the node says of each."""
    records = {it.signature: msgspec.Raw(it.record.canonical) for it in claims}
    answers = client.ask("PUT", "/claims", body=msgspec.json.encode(records)).value()
    refused = [answer for answer in answers.values() if answer["status"] != "accepted"]
    assert not refused, f"the demo's own claims are good: {refused}"
    return [answers[it.signature] for it in claims]


def introduce(clients: dict[str, NodeClient], urls: dict[str, str]) -> None:
    """A and C each sync with B, both ways; B lets them push."""
    for name in ("A", "C"):
        key = clients[name].get("/node")["node"]
        _put_peer(clients[name], url=urls["B"], push=True, pull=True)
        _put_peer(clients["B"], key=key, accept=True)
    console.print("A and C know B as a peer, to push to and to pull from; B accepts what their node keys push.\n")


def _put_peer(client: NodeClient, **peer: Any) -> None:
    client.ask("PUT", "/peers", body=msgspec.json.encode(peer)).check()


def make_many(client: NodeClient, now: int) -> None:
    claims = [claim("alice", f"plot-{number}", now - 60, crop="beans", number=number) for number in range(CLAIMS)]
    batches = [claims[start : start + BATCH_RECORDS] for start in range(0, CLAIMS, BATCH_RECORDS)]
    for batch in track(batches, "Alice makes 500 claims on A", console=console):
        put(client, batch)


def hand_over(client: NodeClient, now: int) -> None:
    """Alice founds a label and offers it to Bob, who takes it."""
    founded = claim("alice", "garden", now - 5, gate="green")
    offered = claim("alice", "garden", now - 4, founded.record, gate="green", newowner=PEOPLE["bob"].public)
    taken = claim("bob", "garden", now - 3, offered.record, gate="blue")
    verdicts = [put(client, [it])[0]["verdict"] for it in (founded, offered, taken)]
    console.print(f"On A, Alice's [b]garden[/b] goes to Bob: {', '.join(verdicts)}.")


def quarrel(clients: dict[str, NodeClient], now: int) -> None:
    """Two people found one label on two nodes that have not met yet; each node can only say yes."""
    put(clients["A"], [claim("alice", "lighthouse", now - 2, keeper="Alice")])
    put(clients["C"], [claim("carol", "lighthouse", now - 1, keeper="Carol")])
    console.print("While apart, Alice founds [b]lighthouse[/b] on A, and Carol founds it too, a second later, on C.\n")


def sync(client: NodeClient, name: str, direction: str) -> None:
    [report] = client.ask("POST", f"/sync/{direction}").value().values()
    assert report["error"] is None, f"sync failed: {report['error']}"
    arrow = {"push": "pushes to", "pull": "pulls from"}[direction]
    figures = f"{report['records']} records, {report['accepted']} of them new there, {report['seconds'] * 1000:.0f} ms"
    console.print(f"{name} {arrow} B: {figures if direction == 'push' else figures.replace('there', 'here')}")


def view(client: NodeClient) -> dict[str, Any]:
    """What a node answers to whoever asks: the set of records it holds, and two heads with their owners."""
    answer: dict[str, Any] = dict(client.get("/node")["domains"].get(DOMAIN, {}))
    for label in ("garden", "lighthouse"):
        reply = client.ask("GET", path_of("claims", DOMAIN, label) + "/history")
        history = reply.value() if reply.status == 200 else {"head": None, "owner": None, "contested": False}
        answer[label] = {name: history[name] for name in ("head", "owner", "contested")}
    return answer


def show_views(title: str, views: dict[str, dict[str, Any]]) -> None:
    table = Table("node", "records", "fingerprint", "garden", "lighthouse", "contested", title=title)
    for name, answer in views.items():
        count, fingerprint = str(answer.get("count", 0)), answer.get("fingerprint", "")
        contested = "yes" if answer["lighthouse"]["contested"] else "no"
        table.add_row(name, count, fingerprint, _cell(answer["garden"]), _cell(answer["lighthouse"]), contested)
    console.print(table)


def _cell(state: dict[str, Any]) -> str:
    """Who owns a label, and the beginning of its head's id."""
    return f"{NAMES[state['owner']]}'s, {state['head'][:12]}" if state["head"] else "nothing"


def show_why(client: NodeClient) -> None:
    history = client.get(path_of("claims", DOMAIN, "lighthouse") + "/history")
    table = Table("timestamp", "signed by", "verdict", "id", title="Why: every record of lighthouse, on C")
    for entry in history["records"]:
        record = entry["record"]
        table.add_row(str(record["timestamp"]), NAMES[record["signedby"]], entry["verdict"], entry["id"][:12])
    console.print(table)


def play(nodes: Sequence[LocalNode]) -> bool:
    """The whole story. Returns whether the three ended with the same answer."""
    clients = {node.name: node.client() for node in nodes}
    now = int(time.time())
    introduce(clients, {node.name: node.url for node in nodes})
    make_many(clients["A"], now)
    hand_over(clients["A"], now)
    quarrel(clients, now)
    show_views("Before sync", {name: view(client) for name, client in clients.items()})
    for name, direction in (("A", "push"), ("C", "pull"), ("C", "push"), ("A", "pull")):
        sync(clients[name], name, direction)
    console.print()
    views = {name: view(client) for name, client in clients.items()}
    show_views("After sync", views)
    show_why(clients["C"])
    answer, *others = views.values()
    is_whole = answer.get("count") == CLAIMS + 5 and answer["lighthouse"]["contested"]
    return is_whole and all(other == answer for other in others)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun = time.monotonic()
    with TemporaryDirectory(prefix="dnarc-demo-") as folder, ExitStack() as stack:
        nodes = [
            stack.enter_context(running(name, Path(folder) / name, "--sync-interval", "none"))
            for name in track("ABC", "Starting three nodes", console=console)
        ]
        for node in nodes:
            console.print(f"Node {node.name} answers at {node.url}")
        is_same = play(nodes)
    if not is_same:
        console.print("[red]The three nodes differ.[/red]")
        return 1
    console.print(f"The three nodes give the same answer, {time.monotonic() - begun:.1f} s after the start.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
