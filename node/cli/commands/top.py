"""`dnarc top`: a node as it works, drawn anew each second until somebody presses Ctrl-C."""

import signal
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from node.cli.commands.options import DEFAULT_NODE, AsJson, Authority, NodeUrl, connect
from node.cli.output.screen import show

if TYPE_CHECKING:
    from node.client.http import NodeClient
    from node.client.watching import Listener

MOMENTS_MAX = 120
"""Rates that are remembered for the curve."""

Interval = Annotated[
    float, typer.Option("--interval", min=0.1, max=60.0, metavar="SECONDS", help="Between two looks at the node.")
]


def top(
    node: NodeUrl = DEFAULT_NODE, tls_ca: Authority = None, interval: Interval = 1.0, as_json: AsJson = False
) -> None:
    """Watch a node: rates, queues, peers, the newest records. Ctrl-C ends it.

    With --json, or where the output is no terminal, it looks once, after one interval, and ends.
    """
    from rich.console import Console

    from node.client.watching import Listener

    with connect(node, tls_ca) as client:
        if as_json or not Console().is_terminal:
            _once(client, interval, as_json)
        else:
            _live(client, Listener(lambda: connect(node, tls_ca)), interval)


def _once(client: "NodeClient", interval_s: float, as_json: bool) -> None:
    from node.cli.output.top_screen import drawn
    from node.client.watching import Watcher, newest

    watcher = Watcher(client)
    time.sleep(interval_s)
    snapshot, records = watcher.look(), newest(client)
    answer = msgspec.to_builtins(snapshot) | {"newest": msgspec.to_builtins(records)}
    show(answer, as_json, lambda: drawn(snapshot, records, [snapshot.rates["accepted"]]))


def _live(client: "NodeClient", listener: "Listener", interval_s: float) -> None:
    """Until Ctrl-C, or a signal that means the same. A node that stops answering is waited for, as it may come back."""
    from rich.live import Live

    from node.cli.output.top_screen import drawn, without_answer
    from node.client.http import NodeError, Unreachable
    from node.client.watching import Watcher, newest

    watcher = Watcher(client)
    found = newest(client)
    snapshot, moments = watcher.look(), deque[float](maxlen=MOMENTS_MAX)
    listener.start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), Live(screen=True, auto_refresh=False) as live:
        while True:
            live.update(drawn(snapshot, [*listener.events, *found], list(moments)), refresh=True)
            time.sleep(interval_s)
            try:
                snapshot = watcher.look()
                moments.append(snapshot.rates["accepted"])
            except (Unreachable, NodeError) as error:
                live.update(without_answer(snapshot, str(error)), refresh=True)
                time.sleep(interval_s)
    listener.end()
