"""`dnarc watch`: events as they happen, in a terminal for people, and one JSON object a line for whatever else reads.

It goes on when the node was away, from where it was. Ctrl-C is how one ends it, and therefore no failure.
"""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.commands.heads import claim_of
from node.cli.commands.options import DEFAULT_NODE, AsJson, Authority, NodeUrl, connect
from node.cli.output.screen import json_text, warn
from node.cli.output.text import compact, moment, plain, safe, short

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from node.client.following import Event, Following
    from protocol.records.record import SignedRecord


def watch(
    domain: Annotated[
        list[str] | None, typer.Option("--domain", metavar="DOMAIN", help="Only this domain; may stand more than once.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="LABEL", help="Only this label; may stand more than once.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="CURSOR", help="From this cursor on; 0: from the beginning.")
    ] = None,
    count: Annotated[int | None, typer.Option("--count", min=1, help="End after so many events.")] = None,
    reconnect: Annotated[bool, typer.Option(help="Come back when the node was away.")] = True,
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    as_json: AsJson = False,
) -> None:
    """Show what is accepted or taken back, as it happens. Ctrl-C ends it. JSON: one event a line."""
    from node.client.following import Following

    names = [("domain", name) for name in domain or ()] + [("label", name) for name in label or ()]
    is_for_people = sys.stdout.isatty() and not as_json
    console = _console() if is_for_people else None
    following = Following(lambda: connect(node, tls_ca), names, since, _tell_trouble if reconnect else None)
    try:
        if console is None:
            _follow(following, _show_line, count)
        else:
            with console.status(f"watching {safe(node)}, Ctrl-C ends"):
                _follow(following, lambda event, signed: console.print(line_of(event, signed), soft_wrap=True), count)
    except KeyboardInterrupt:
        return
    except BrokenPipeError:  # whoever read this has enough; Python would complain once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _follow(following: "Following", show: "Callable[[Event, SignedRecord], None]", count: int | None) -> None:
    for number, event in enumerate(following.events(), start=1):
        show(event, event.signed())
        if number == count:
            return


def _show_line(event: "Event", _signed: "SignedRecord") -> None:
    sys.stdout.write(json_text(event.line) + "\n")
    sys.stdout.flush()


def line_of(event: "Event", signed: "SignedRecord") -> "Text":
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
