"""`dnarc watch`: events as they happen, as lines for people in a terminal, and as lines of JSON everywhere else.

If the node was away, the command connects again and goes on at its cursor. Ctrl-C is the usual way to end it, so it is
no failure.
"""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.input.options import DEFAULT_NODE, AsJson, Authority, NodeUrl, connect
from node.cli.output.screen import json_text, warn
from node.cli.output.text import compact, moment, plain, short
from node.client.content import claim_of
from node.console.visible_text import safe

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from node.client.following import Follower, NodeEvent
    from protocol.records.record import SignedRecord


def watch(
    domain: Annotated[
        list[str] | None,
        typer.Option("--domain", metavar="DOMAIN", help="Only this domain. May be given several times."),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="LABEL", help="Only this label. May be given several times.")
    ] = None,
    final: Annotated[
        bool, typer.Option("--final", help="Only records that became final: the witnesses of a domain decided them.")
    ] = False,
    since: Annotated[
        str | None, typer.Option("--since", metavar="CURSOR", help="Begin after this cursor; 0 is the beginning.")
    ] = None,
    count: Annotated[int | None, typer.Option("--count", min=1, help="End after this many events.")] = None,
    reconnect: Annotated[bool, typer.Option(help="Connect again if the node was away.")] = True,
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    as_json: AsJson = False,
) -> None:
    """Show records as they are accepted, reverted or final. Ctrl-C ends it. With --json: one event per line."""
    from node.client.following import Follower

    names = [("domain", name) for name in domain or ()] + [("label", name) for name in label or ()]
    names += [("certainty", "final")] if final else []
    is_for_people = sys.stdout.isatty() and not as_json
    console = _console() if is_for_people else None
    follower = Follower(lambda: connect(node, tls_ca), names, since, _tell_trouble if reconnect else None)
    try:
        if console is None:
            _show_events(follower, _show_line, count)
        else:
            with console.status(f"watching {safe(node)}, Ctrl-C ends"):
                _show_events(
                    follower, lambda event, signed: console.print(line_of(event, signed), soft_wrap=True), count
                )
    except KeyboardInterrupt:
        return
    except BrokenPipeError:  # the reader has left; without this, Python would report it again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_events(follower: "Follower", show: "Callable[[NodeEvent, SignedRecord], None]", count: int | None) -> None:
    for number, event in enumerate(follower.events(), start=1):
        show(event, event.signed())
        if number == count:
            return


def _show_line(event: "NodeEvent", _signed: "SignedRecord") -> None:
    sys.stdout.write(json_text(event.line) + "\n")
    sys.stdout.flush()


def line_of(event: "NodeEvent", signed: "SignedRecord") -> "Text":
    """The event as a line for people."""
    from rich.text import Text

    record = signed.record
    is_reverted = event.type == "reverted"
    parts = [
        plain(moment(record.timestamp), "dim"),
        plain(event.type, "bold red" if is_reverted else "green"),
        plain(record.domain, "cyan"),
        plain(record.label, "bold"),
        plain(f"by {short(record.signedby)}"),
    ]
    if record.newowner is not None:
        parts.append(plain(f"offered to {short(record.newowner)}", "yellow"))
    if is_reverted:
        parts.append(plain(f"instead of {short(event.previous)}: {event.reason}", "red"))
    return Text("  ").join([*parts, plain(compact(claim_of(record.canonical)), "dim")])


def _tell_trouble(trouble: str, wait_s: float) -> None:
    warn(f"{trouble}; trying again in {wait_s:.1f} s")


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False)
