"""A bar for what a node catches up over its links, while a command waits for it; silent where nobody watches."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from node.client.http import NodeClient

LOOK_EVERY_S: Final = 0.25


@contextmanager
def catch_up_shown(open_client: "Callable[[], NodeClient]") -> Iterator[None]:
    """Show, while the block works, how far the links of this node are."""
    if not sys.stderr.isatty():
        yield
        return
    is_over = threading.Event()
    watching = threading.Thread(target=_watch, args=(open_client, is_over), name="catch-up bar")
    watching.start()
    try:
        yield
    finally:
        is_over.set()
        watching.join()


def caught_up(peers: list[dict[str, Any]]) -> tuple[int, int]:
    """How many records of how many are here, over all links that catch up: from the answer of `GET /peers`."""
    links = [link for peer in peers if (link := peer.get("link")) and link["total"]]
    return sum(link["done"] for link in links), sum(link["total"] for link in links)


def _watch(open_client: "Callable[[], NodeClient]", is_over: threading.Event) -> None:
    from node.cli.output.progress import gauge
    from node.client.http import NodeError, Unreachable

    with open_client() as client, gauge("catching up") as show:
        while not is_over.wait(LOOK_EVERY_S):
            try:
                show(*caught_up(client.ask("GET", "/peers").value()))
            except (NodeError, Unreachable):
                return  # the command itself says what is wrong
