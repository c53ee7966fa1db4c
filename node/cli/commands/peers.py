"""`dnarc peers` and `dnarc sync`: the peers table of a node, and a sync with these peers now.

The commands change the table over HTTP. If no node runs, they can change it in the store.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import typer

from node.cli.data_folder import ask_node, work_in_store
from node.cli.input.options import (
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
from node.cli.output.early_end import explain_interruption
from node.cli.output.examples import epilog_of
from node.cli.output.failures import CommandError, Exit, usage
from node.cli.output.screen import show, table, warn
from node.cli.output.text import moment, plain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from node.client.http import NodeClient
    from node.peers import Peers
    from node.store.contract import Peer

    Result = TypeVar("Result")

app = typer.Typer(no_args_is_help=True, help="The peers that a node syncs with.")

Name = Annotated[
    str, typer.Argument(metavar="URL|KEY", help="The URL of the peer, or the key of a peer that only dials us.")
]


@app.command("add", epilog=epilog_of("peers add"))
def add(
    url: Annotated[
        str | None,
        typer.Argument(metavar="URL", help="http(s):// or ws(s)://; a peer that only dials us has --key instead."),
    ] = None,
    push: Annotated[bool, typer.Option("--push", help="Send our records to the peer.")] = False,
    pull: Annotated[bool, typer.Option("--pull", help="Fetch the records of the peer.")] = False,
    accept: Annotated[
        bool | None,
        typer.Option("--accept/--no-accept", help="Trust records that the peer pushes; by default, if --pull is set."),
    ] = None,
    key: Annotated[str | None, typer.Option("--key", metavar="HEX", help="The node key of the peer.")] = None,
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    token: Token = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Add a peer, or replace the peer that has the same URL. With --data DIR, the command works without a node too."""
    from node.store.contract import Peer

    if url is None and key is None:
        raise usage("a peer needs a URL, or --key if it only dials us")
    peer = Peer(url=url, push=push, pull=pull, accept=accept, key=key)
    client = connect(node, tls_ca, find_token(token, data))
    answer = _over_http("PUT", client, data, body=msgspec.json.encode(peer))
    if answer is None:
        answer = _facts_of(_in_store(data, lambda peers: peers.put(peer)))
    elif push and not as_json:
        _tell_next_step(client)
    show(answer, as_json, lambda: _peers_table([answer]))


def _tell_next_step(client: "NodeClient") -> None:
    """Say on stderr what the operator of the other node has to do, because a push needs the leave of both sides."""
    with client:
        key = client.get_node().node
    print("dnarc: the peer takes what this node pushes once its operator has run:", file=sys.stderr)
    print(f"dnarc:     dnarc peers add --key {key} --accept", file=sys.stderr)


@app.command("list", epilog=epilog_of("peers list"))
def list_(
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    token: Token = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show the peers: the state of each, why it fails, and how many domains are in step with it."""
    answer = _over_http("GET", connect(node, tls_ca, find_token(token, data)), data)
    if answer is None:
        answer = [_facts_of(peer) for peer in _in_store(data, lambda peers: peers.list())]
    show(answer, as_json, lambda: _peers_table(answer))


@app.command("remove", epilog=epilog_of("peers remove"))
def remove(
    name: Name,
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    token: Token = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Forget a peer and its cursors."""
    answer = _over_http("DELETE", connect(node, tls_ca, find_token(token, data)), data, query={"url": name})
    if answer is None:
        if not _in_store(data, lambda peers: peers.remove(name)):
            detail = f"there is no peer {name}"
            raise CommandError(Exit.REFUSED, "unknown_peer", detail, "`dnarc peers list` lists the peers")
        answer = {"url": name}
    show(answer, as_json, lambda: plain(f"removed {name}"))


def sync(
    flow: Annotated[
        Literal["push", "pull", "both"], typer.Argument(help="Send records, fetch records, or fetch and then send.")
    ] = "both",
    peer: Annotated[str | None, typer.Option("--peer", metavar="URL", help="Only with this peer.")] = None,
    domain: Annotated[str | None, typer.Option("--domain", metavar="DOMAIN", help="Only this domain.")] = None,
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    token: Token = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Sync with the peers now, and show what the sync did. Ends with 1 if the sync with a peer failed."""
    from node.cli.output.catch_up_bar import show_catch_up
    from protocol.link.terms import Flow

    flows = (Flow.PULL, Flow.PUSH) if flow == "both" else (Flow(flow),)
    query = {name: value for name, value in (("peer", peer), ("domain", domain)) if value is not None}
    secret = find_token(token, data)
    client = connect(node, tls_ca, secret, SYNC_TIMEOUT_S)
    with (
        client,
        show_catch_up(lambda: connect(node, tls_ca, secret)),
        explain_interruption(lambda: "the node itself goes on with the sync", "`dnarc peers list` shows the peers"),
    ):
        reports = {each.value: client.ask("POST", f"/sync/{each}", query).value() for each in flows}
    answer = reports if flow == "both" else reports[flow]
    show(answer, as_json, lambda: _reports_table(reports))
    _explain_refusals(reports)
    _warn_of_clocks(reports)
    if not any(reports.values()):
        warn("the node synced with nobody: `dnarc peers list` shows its peers, and `dnarc peers add` adds one")
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
    """The answer of the node. None: no node answers, and the caller can work on the folder `data` instead."""
    with client:
        return ask_node(client, data, method, "/peers", query, body)


def _in_store(data: Path | None, work: "Callable[[Peers], Awaitable[Result]]") -> "Result":
    """Work on the peers table in the store. A node that does run on the store notices the change within seconds."""
    from node.peers import Peers

    assert data is not None, "without a folder, `_over_http` raises"
    return work_in_store(data, lambda store: work(Peers(store)))


def _facts_of(peer: "Peer") -> dict[str, Any]:
    """The peer as a node without links would show it."""
    from node.passwords import hidden

    url = None if peer.url is None else hidden(peer.url)
    return {"url": url, "push": peer.push, "pull": peer.pull, "accept": peer.is_accepted, "key": peer.key}


def _peers_table(peers: list[dict[str, Any]]) -> Any:
    """The rows, and the state of each peer, which only a running node knows."""
    is_told = all("state" in peer for peer in peers)
    rows = [
        (
            peer["url"] or "(dials us)",
            *([_state(peer)] if is_told else []),
            *(_yes(peer[name]) for name in ("push", "pull", "accept")),
            peer["key"],
            *([_steps(peer), _trouble(peer)] if is_told else []),
        )
        for peer in peers
    ]
    columns = ["~peer", "state", "push", "pull", "accept", "~key", "~in step", "~error"]
    return table(columns if is_told else ["~peer", "push", "pull", "accept", "~key"], rows)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _state(peer: dict[str, Any]) -> str:
    return str(peer["state"]).replace("_", " ")


def _trouble(peer: dict[str, Any]) -> str:
    """Why the peer fails, since when, and what to do."""
    if peer.get("error") is None:
        return ""
    return f"{peer['error']} (since {moment(peer['since'])}); {peer['remedy']}"


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
