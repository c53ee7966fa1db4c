"""Peers: whom a node syncs with, changed over HTTP or, where no node runs, in its store; and `sync`, to do it now."""

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from node.cli.commands.examples import epilog_of
from node.cli.commands.options import (
    DEFAULT_NODE,
    SYNC_TIMEOUT_S,
    AsJson,
    Authority,
    Data,
    NodeUrl,
    Token,
    connect,
    find_token,
)
from node.cli.output.failures import CommandError, Exit, usage
from node.cli.output.screen import show, table, warn
from node.cli.output.text import plain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from node.client.http import NodeClient
    from node.peers import Peers
    from node.store.contract import Peer

    Result = TypeVar("Result")

app = typer.Typer(no_args_is_help=True, help="Whom a node syncs with.")

Name = Annotated[str, typer.Argument(metavar="URL|KEY", help="The peer's URL, or the key of one that only dials us.")]


class Direction(StrEnum):
    """Which way records go, seen from the node that is asked."""

    PUSH = "push"
    PULL = "pull"
    BOTH = "both"


@app.command("add", epilog=epilog_of("peers add"))
def add(
    url: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="http(s):// or ws(s)://; without it, --key.")
    ] = None,
    push: Annotated[bool, typer.Option("--push", help="Send it our records.")] = False,
    pull: Annotated[bool, typer.Option("--pull", help="Fetch its records.")] = False,
    accept: Annotated[
        bool | None, typer.Option("--accept/--no-accept", help="Trust what it pushes; without it, as with --pull.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", metavar="HEX", help="Its node key.")] = None,
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    token: Token = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Add a peer, or replace the one of the same URL. With --data DIR it also works while no node runs."""
    from node.store.contract import Peer

    if url is None and key is None:
        raise usage("a peer has a URL, or --key where it only dials us")
    peer = Peer(url=url, push=push, pull=pull, accept=accept, key=key)
    kept = _over_http("PUT", connect(node, tls_ca, find_token(token, data)), data, body=msgspec.json.encode(peer))
    if kept is None:
        assert data is not None, "only with a folder there is a second way"
        kept = _shown(asyncio.run(_in_store(data, lambda peers: peers.put(peer))))
    shown = kept
    show(shown, as_json, lambda: _peers_table([shown]))


@app.command("list", epilog=epilog_of("peers list"))
def list_(
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    token: Token = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show the peers, and how far each is in step."""
    peers = _over_http("GET", connect(node, tls_ca, find_token(token, data)), data)
    if peers is None:
        assert data is not None, "only with a folder there is a second way"
        peers = [_shown(peer) for peer in asyncio.run(_in_store(data, lambda peers: peers.list()))]
    shown = peers
    show(shown, as_json, lambda: _peers_table(shown))


@app.command("remove", epilog=epilog_of("peers remove"))
def remove(
    name: Name,
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    token: Token = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Forget a peer, and how far the node had come with it."""
    removed = _over_http("DELETE", connect(node, tls_ca, find_token(token, data)), data, query={"url": name})
    if removed is None:
        assert data is not None, "only with a folder there is a second way"
        if not asyncio.run(_in_store(data, lambda peers: peers.remove(name))):
            raise CommandError(
                Exit.REFUSED, "unknown_peer", f"there is no peer {name}", "`dnarc peers list` lists them"
            )
        removed = {"url": name}
    show(removed, as_json, lambda: plain(f"removed {name}"))


def sync(
    direction: Annotated[Direction, typer.Argument(help="Send, fetch, or fetch and then send.")] = Direction.BOTH,
    peer: Annotated[str | None, typer.Option("--peer", metavar="URL", help="Only with this peer.")] = None,
    domain: Annotated[str | None, typer.Option("--domain", metavar="DOMAIN", help="Only this domain.")] = None,
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    token: Token = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Sync with the peers now, and say what it did. Ends with 1 where a peer could not be synced with."""
    from node.cli.output.catch_up_bar import catch_up_shown

    query = {name: value for name, value in (("peer", peer), ("domain", domain)) if value is not None}
    directions = [Direction.PULL, Direction.PUSH] if direction is Direction.BOTH else [direction]
    secret = find_token(token, data)
    client = connect(node, tls_ca, secret, SYNC_TIMEOUT_S)
    with client, catch_up_shown(lambda: connect(node, tls_ca, secret)):
        reports = {each.value: client.ask("POST", f"/sync/{each.value}", query).value() for each in directions}
    answer = reports if direction is Direction.BOTH else reports[direction.value]
    show(answer, as_json, lambda: _reports_table(reports))
    _explain_refusals(reports)
    _warn_of_clocks(reports)
    failed = {name for each in reports.values() for name, report in each.items() if report["error"]}
    if failed:
        raise CommandError(Exit.REFUSED, "sync_failed", ", ".join(sorted(failed)), "its row says why")


def _over_http(
    method: str,
    client: "NodeClient",
    data: Path | None,
    query: dict[str, str] | None = None,
    body: bytes | None = None,
) -> Any:
    """The node's answer; None where no node runs and there is a folder to work on instead.

    Raises:
        CommandError, NodeError, Unreachable.
    """
    from node.client.http import Unreachable

    can_do_without = data is not None and (data / "dnarc.db").exists()
    if data is not None and not can_do_without:
        raise usage(f"{data} is no data folder of a node", "`dnarc serve --data DIR` makes one at its first start")
    try:
        with client:
            return client.ask(method, "/peers", query, body).value()
    except Unreachable:
        if not can_do_without:
            raise
    warn(f"no node answers at {client.url}: working on {data} itself")
    return None


async def _in_store(data: Path, work: "Callable[[Peers], Awaitable[Result]]") -> "Result":
    """Work on the table without a node; one that runs after all notices it within seconds."""
    from node.peers import Peers
    from node.store.sqlite import SqliteStore

    store = await SqliteStore.open(data / "dnarc.db")
    try:
        return await work(Peers(store))
    finally:
        await store.close()


def _shown(peer: "Peer") -> dict[str, Any]:
    from node.peers import hidden

    url = None if peer.url is None else hidden(peer.url)
    return {"url": url, "push": peer.push, "pull": peer.pull, "accept": peer.is_accepted, "key": peer.key}


def _peers_table(peers: list[dict[str, Any]]) -> Any:
    rows = [
        (
            peer["url"] or "(dials us)",
            *(_yes(peer[name]) for name in ("push", "pull", "accept")),
            peer["key"],
            _steps(peer),
        )
        for peer in peers
    ]
    return table(["~peer", "push", "pull", "accept", "~key", "~in step"], rows)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _steps(peer: dict[str, Any]) -> str:
    steps = list(peer.get("domains", {}).values())
    return ", ".join(f"{steps.count(step)} {step}" for step in sorted(set(steps)))


def _reports_table(reports: dict[str, dict[str, Any]]) -> Any:
    from node.http_sync.refusals import counts_in_words

    names = ("accepted", "known", "refused", "repaired")
    rows = [
        (
            f"{direction} {peer}",
            *(report[name] for name in names),
            f"{report['seconds']:.2f}",
            counts_in_words(report.get("refusals", {})),
            report["error"],
        )
        for direction, by_peer in reports.items()
        for peer, report in by_peer.items()
    ]
    return table(["~run", *(f"#{name}" for name in names), "#seconds", "~refused as", "~error"], rows)


def _explain_refusals(reports: dict[str, dict[str, Any]]) -> None:
    """Say why records were refused, and what to do about it. A node of an older version does not report the codes."""
    from node.http_sync.refusals import remedy_of
    from protocol.link.terms import Flow

    for direction, by_peer in reports.items():
        for peer, report in by_peer.items():
            for code, count in report.get("refusals", {}).items():
                warn(f"{direction} {peer}: {count} refused as {code}: {remedy_of(Flow(direction), code)}")


def _warn_of_clocks(reports: dict[str, dict[str, Any]]) -> None:
    """Say which peers' clocks differ from the node's, once for each peer."""
    from node.clocks import REMEDY, differs, in_words

    clocks = {peer: report.get("clock_ahead_s") for by_peer in reports.values() for peer, report in by_peer.items()}
    for peer, ahead_s in clocks.items():
        if ahead_s is not None and differs(ahead_s):
            words = in_words(ahead_s, "this node's")
            warn(f"the clock of {peer} is {words}: records may be refused as too_new or too_old; {REMEDY}")
