"""`dnarc top`: a node at work, drawn again every second until somebody presses Ctrl-C."""

import signal
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from node.cli.input.options import DEFAULT_NODE, AsJson, Authority, Data, NodeUrl, Token, connect, find_token
from node.cli.output.screen import show

if TYPE_CHECKING:
    from node.client.http import NodeClient
    from node.client.watching import Listener

MOMENTS_MAX = 120
"""How many rates the curve shows."""

Interval = Annotated[
    float,
    typer.Option("--interval", min=0.1, max=60.0, metavar="SECONDS", help="Seconds between two looks at the node."),
]


def top(
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    token: Token = None,
    data: Data = None,
    interval: Interval = 1.0,
    as_json: AsJson = False,
) -> None:
    """Watch a node: rates, queues, peers, the newest records. Ctrl-C ends the command.

    A node on another machine asks for its admin token.

    With --json, or if the output is no terminal, the command shows the node
    once, after one interval, and ends.
    """
    from rich.console import Console

    from node.client.watching import Listener

    secret = find_token(token, data)
    with connect(node, tls_ca, secret) as client:
        if as_json or not Console().is_terminal:
            _show_once(client, interval, as_json)
        else:
            _show_live(client, Listener(lambda: connect(node, tls_ca)), interval)


def _show_once(client: "NodeClient", interval_s: float, as_json: bool) -> None:
    from node.cli.output.top_screen import draw
    from node.client.watching import Watcher, find_newest

    watcher = Watcher(client)
    time.sleep(interval_s)
    snapshot, records = watcher.look(), find_newest(client)
    answer = msgspec.to_builtins(snapshot) | {"newest": msgspec.to_builtins(records)}
    show(answer, as_json, lambda: draw(snapshot, records, [snapshot.rates["accepted"]]))


def _show_live(client: "NodeClient", listener: "Listener", interval_s: float) -> None:
    """Draw until Ctrl-C or SIGTERM. If the node stops answering, keep asking, because it may come back."""
    from rich.live import Live

    from node.cli.output.top_screen import draw, draw_without_answer
    from node.client.errors import NodeError, Unreachable
    from node.client.watching import Watcher, find_newest

    watcher = Watcher(client)
    found = find_newest(client)
    snapshot, moments = watcher.look(), deque[float](maxlen=MOMENTS_MAX)
    listener.start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), Live(screen=True, auto_refresh=False) as live:
        while True:
            live.update(draw(snapshot, [*listener.events, *found], list(moments)), refresh=True)
            time.sleep(interval_s)
            try:
                snapshot = watcher.look()
                moments.append(snapshot.rates["accepted"])
            except (Unreachable, NodeError) as error:
                live.update(draw_without_answer(snapshot, str(error)), refresh=True)
                time.sleep(interval_s)
    listener.end()
