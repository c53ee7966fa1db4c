"""All events in the log have one form, whoever writes them."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from node.console.log import configure
from protocol.records.admission import Trust
from tests.node.http_api.talking import Client
from tests.node.http_sync.sync_network import claims, give, running


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    """Restore the logging of the process after each test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("form", ["json", "auto"])
def test_without_a_terminal_each_event_is_one_line_of_json(form: str) -> None:
    stream = io.StringIO()

    configure(form, stream)
    structlog.get_logger("node.one").info("synced", peer="p", records=3)
    logging.getLogger("library").warning("it is %s", "late")

    ours, theirs = lines(stream)
    assert (ours["event"], ours["peer"], ours["records"], ours["level"]) == ("synced", "p", 3, "info")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("it is late", "warning", "library")
    assert str(ours["timestamp"]).endswith("Z")


def test_the_human_form_has_no_json() -> None:
    stream = io.StringIO()

    configure("human", stream)
    structlog.get_logger().info("synced", peer="p")

    assert "synced" in stream.getvalue()
    assert "peer=p" in stream.getvalue()
    assert "{" not in stream.getvalue()


def test_debug_events_are_left_out() -> None:
    stream = io.StringIO()

    configure("json", stream)
    structlog.get_logger().debug("detail")
    logging.getLogger("library").debug("detail")

    assert stream.getvalue() == ""


@pytest.mark.parametrize("form", ["json", "human"])
def test_a_traceback_shows_no_values_of_variables(form: str) -> None:
    """Otherwise the log would hold keys and tokens."""
    stream = io.StringIO()
    configure(form, stream)

    try:
        secret = "hidden" * 2
        raise ValueError(len(secret))
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("library").exception("failed too")

    assert stream.getvalue().count("ValueError") >= 2
    assert "hiddenhidden" not in stream.getvalue()


def test_what_strangers_say_steers_no_terminal_and_begins_no_line() -> None:
    """Otherwise a peer could hide events of the log, or write some itself."""
    stream, said = io.StringIO(), "\x1b[2J\u202e\ndone"
    configure("human", stream)

    structlog.get_logger().info(f"heard {said}", reason=said)
    logging.getLogger("library").warning("heard %s", said)
    try:
        raise ValueError(said)
    except ValueError:
        logging.getLogger("library").exception("failed")

    *heard, _, _, _, _, error, done = stream.getvalue().split("\n")[:-1]
    assert [line.count("\\x1b[2J\\u202e\\n") for line in heard[:2]] == [2, 1]
    assert (error, done) == ("ValueError: \\x1b[2J\\u202e", "done")
    assert all(line.isprintable() for line in stream.getvalue().split("\n"))


async def test_taking_records_writes_no_event(tmp_path: Path) -> None:
    """A client that writes a million claims must not cause a million lines."""
    with capture_logs() as logs:
        async with running(tmp_path / "node") as node, Client(node.url) as client:
            await give(node, *claims(50))
            await give(node, *claims(50), trust=Trust.CLIENT)
            await client.put(claims(1, label="put")[0])
            await client.put(claims(1, label="@reserved")[0])

    assert [entry["event"] for entry in logs if entry["log_level"] != "debug"] == ["started", "stopped"]
