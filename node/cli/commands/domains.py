"""`dnarc domains`: show the domains that a node keeps, how many records each has, and what fills the store."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.input.options import DEFAULT_NODE, AsJson, Authority, Data, NodeUrl, Token, connect, find_token
from node.cli.output.clocks import warn_of_clock
from node.cli.output.failures import usage as usage_error
from node.cli.output.screen import show, table
from node.cli.output.text import moment

if TYPE_CHECKING:
    from rich.console import RenderableType

LIMIT = 20


def domains(
    is_by_size: Annotated[
        bool, typer.Option("--sizes", help="Show the largest domains: records and bytes. For the node's operator.")
    ] = False,
    is_by_key: Annotated[
        bool, typer.Option("--keys", help="Show the keys that signed the most bytes. For the node's operator.")
    ] = False,
    domain: Annotated[
        str | None,
        typer.Option("--domain", metavar="DOMAIN", help="With --keys: only what they signed in this domain."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Show at most this many.")] = LIMIT,
    data: Data = None,
    token: Token = None,
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    as_json: AsJson = False,
) -> None:
    """Show the domains of a node and how many records each has. JSON: {domain: {count, fingerprint, newest}}.

    Two nodes hold the same records of a domain if they show the same fingerprint.

    With --sizes or --keys: what fills the store. Bytes are those of the records; the file has about 400 more for each.
    On another machine than the node's, this needs the admin token.
    """
    if is_by_size and is_by_key:
        raise usage_error("--sizes and --keys exclude each other")
    if domain is not None and not is_by_key:
        raise usage_error("--domain goes with --keys")
    if is_by_size or is_by_key:
        query = {"limit": str(limit)} | ({} if domain is None else {"domain": domain})
        with connect(node, tls_ca, find_token(token, data)) as client:
            client.get_node()  # asked first, because its errors tell what answers if no node does
            found = client.get("/usage", query)
        kind = "domain" if is_by_size else "key"
        rows = found[f"{kind}s"]
        show(rows, as_json, lambda: _sizes(kind, rows, found))
        return
    _show_domains(node, tls_ca, as_json)


def _show_domains(node: str, tls_ca: Authority, as_json: bool) -> None:
    with connect(node, tls_ca) as client:
        asked_s = time.time()
        answer = client.get_node()
    warn_of_clock(client.url, answer.time, asked_s)
    rows = [(name, f"{held.count:,}", moment(held.newest), held.fingerprint) for name, held in answer.domains.items()]
    show(answer.domains, as_json, lambda: table(["~domain", "#records", "newest", "~fingerprint"], rows))


def _sizes(kind: str, rows: list[dict[str, Any]], found: dict[str, Any]) -> "RenderableType":
    """The largest domains or keys, each with its share of all bytes."""
    whole = found["bytes"] or 1
    cells = [(row[kind], f"{row['records']:,}", f"{row['bytes']:,}", f"{row['bytes'] / whole:.1%}") for row in rows]
    title = f"{found['bytes']:,} bytes in {found['records']:,} records; {found['store']['bytes']:,} bytes of files"
    return table([f"~{kind}", "#records", "#bytes", "#share"], cells, title=title)
