"""A progress bar for the catch-up of a node's links, while a command waits for the node. Only a terminal shows it."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from node.client.http import NodeClient

POLL_S: Final = 0.25


@contextmanager
def show_catch_up(open_client: "Callable[[], NodeClient]") -> Iterator[None]:
    """Show the progress of all links that catch up until the block ends."""
    if not sys.stderr.isatty():
        yield
        return
    is_over = threading.Event()
    poller = threading.Thread(target=_poll, args=(open_client, is_over), name="catch-up bar")
    poller.start()
    try:
        yield
    finally:
        is_over.set()
        poller.join()


def count_caught_up(peers: list[dict[str, Any]]) -> tuple[int, int]:
    """The records that have arrived and the records to come in all, over the links in an answer to `GET /peers`."""
    links = [link for peer in peers if (link := peer.get("link")) and link["total"]]
    return sum(link["done"] for link in links), sum(link["total"] for link in links)


def _poll(open_client: "Callable[[], NodeClient]", is_over: threading.Event) -> None:
    from node.cli.output.progress import gauge
    from node.client.errors import NodeError, Unreachable

    with open_client() as client, gauge("catching up") as show:
        while not is_over.wait(POLL_S):
            try:
                show(*count_caught_up(client.ask("GET", "/peers").value()))
            except (NodeError, Unreachable):
                return  # the command's own request fails too, and the command reports it
