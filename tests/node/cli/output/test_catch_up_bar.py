"""A command that waits for a catch-up shows its progress in a terminal."""

import contextlib
import io
import threading
from typing import Any

from node.cli.output.catch_up_bar import count_caught_up, show_catch_up
from node.client.http import NodeClient
from tests.node.cli.conftest import Served


def linked(done: int | None, total: int | None) -> dict[str, Any]:
    return {"url": "ws://peer.example", "link": {"state": "catching_up", "done": done, "total": total}}


def test_the_progress_adds_up_all_links_that_catch_up() -> None:
    peers = [linked(3, 10), linked(None, None), {"url": "http://peer.example", "link": None}, linked(4, 5)]

    assert count_caught_up(peers) == (7, 15)


def test_without_a_terminal_the_node_is_not_asked() -> None:
    def never() -> NodeClient:
        raise AssertionError("stderr is no terminal")

    with show_catch_up(never):
        pass


def test_in_a_terminal_the_bar_ends_with_the_work(common: Served) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    with contextlib.redirect_stderr(Terminal()), show_catch_up(lambda: NodeClient(common.url)):
        during = [thread.name for thread in threading.enumerate()]
    after = [thread.name for thread in threading.enumerate()]

    assert ("catch-up bar" in during, "catch-up bar" in after) == (True, False)
