"""While a node catches up, whoever waits for it in a terminal sees how far it is."""

import contextlib
import io
import threading
from typing import Any

from node.cli.output.catch_up_bar import catch_up_shown, caught_up
from node.client.http import NodeClient
from tests.node.cli.conftest import Served


def linked(done: int | None, total: int | None) -> dict[str, Any]:
    return {"url": "ws://peer.example", "link": {"state": "catching_up", "done": done, "total": total}}


def test_links_that_catch_up_are_added_up_and_others_left_out() -> None:
    peers = [linked(3, 10), linked(None, None), {"url": "http://peer.example", "link": None}, linked(4, 5)]

    assert caught_up(peers) == (7, 15)


def test_nothing_is_shown_and_nobody_asked_where_nobody_watches() -> None:
    def never() -> NodeClient:
        raise AssertionError("nobody watches")

    with catch_up_shown(never):
        pass


def test_the_watch_in_a_terminal_ends_with_the_work(served: Served) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    with contextlib.redirect_stderr(Terminal()), catch_up_shown(lambda: NodeClient(served.url)):
        during = [thread.name for thread in threading.enumerate()]
    after = [thread.name for thread in threading.enumerate()]

    assert ("catch-up bar" in during, "catch-up bar" in after) == (True, False)
