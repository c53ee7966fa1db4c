"""`dnarc serve`: run a node until a signal ends it, or its store fails.

Every setting has a flag. The flags are made from the settings, so that no flag can be missing. Once the node accepts
requests, it prints one line to stdout, its URL. A program that starts a node can wait for this line.
"""

import asyncio
import inspect
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from errno import EADDRINUSE
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.commands.config import Config
from node.cli.output.failures import CommandError, Exit
from node.cli.output.failures import describe as describe_error
from node.line_writer import LineWriter
from node.settings.description import Setting, describe, spell
from node.settings.loading import load

if TYPE_CHECKING:
    from node.settings.settings import Settings

SIGNALS = (signal.SIGTERM, signal.SIGINT)

STOP_S_MAX = 4.5
"""Seconds from the signal to the end of the process, whatever clients, peers and the disk do. The docs promise 5 s.
Records that were answered with 201 are on disk already, so an abrupt end loses nothing.
"""

ASK_S_MAX = 1.0
"""Seconds to wait for the program that listens at this node's address to say whether it is a node."""

FLUSH_S_MAX = 1.0
"""Seconds to wait for the reader of the log. After that, the process ends without the last lines."""


def serve(config: Path | None = None, **flags: str | None) -> None:
    """Run a node. It prints its URL once it accepts requests, logs to stderr, and ends on SIGTERM or SIGINT.

    On SIGHUP it reads its certificate again. The value of --max-age, for example, can also stand in the settings file
    as max_age, or in the environment as DNARC_MAX_AGE. `dnarc config` shows every setting and its source.
    """
    import structlog

    from node import log

    loaded = load(config, os.environ, flags)
    settings = loaded.settings
    log.configure(settings.log_format, sys.stderr)
    log.log_what_python_reports()
    if loaded.skipped:
        structlog.get_logger().info("service variables skipped", variables=spell(list(loaded.skipped)))
    _allow_files(settings.files_needed)
    try:
        _runner()(_serve(settings))
    except Exception as error:
        failure = describe_error(error, settings.data)
        if failure is None:
            raise
        log.write_line(f"dnarc: {failure.line}")
        raise typer.Exit(failure.exit_code) from error
    finally:
        log.close(FLUSH_S_MAX)


async def _serve(settings: "Settings") -> None:
    from node.node import Node

    node = Node(settings)
    stop = _stop_at_a_signal()
    try:
        await node.__aenter__()
    except OSError as error:
        raise _not_listening(error, settings) from error
    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGHUP, lambda _number, _frame: loop.call_soon_threadsafe(node.reload))
    try:
        LineWriter(sys.stdout).write(node.url)
        await asyncio.wait([stop, node.failed], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await node.__aexit__(None, None, None)
    failure = node.failed.exception() if node.failed.done() else None  # after the exit, because a last commit may fail
    if failure is not None:
        raise _store_failed(failure, settings) from failure


def _stop_at_a_signal() -> "asyncio.Future[None]":
    """A future that is done at the first signal. A second signal changes nothing.

    The handlers are Python's and not the loop's, so that the deadline begins even if the loop is busy.
    """
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[None] = loop.create_future()
    deadline = threading.Timer(STOP_S_MAX, os._exit, [Exit.DONE])
    deadline.daemon = True

    def end() -> None:
        if not stop.done():
            stop.set_result(None)

    def on_signal(_number: int, _frame: object) -> None:
        if deadline.ident is None:
            deadline.start()
        loop.call_soon_threadsafe(end)

    for number in SIGNALS:
        signal.signal(number, on_signal)
    return stop


def _allow_files(needed: int) -> None:
    """Raise the soft limit on open files to `needed`, or to the hard limit if that is lower, and warn of that.

    The usual soft limit is low because of programs that use `select`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < needed:
        import structlog

        remedy = f"raise the hard limit to {needed} (LimitNOFILE of a unit), or lower connections_max and links_max"
        structlog.get_logger().warning(
            "too few open files are allowed for all connections", allowed=wanted, needed=needed, remedy=remedy
        )


def _runner() -> Callable[[Coroutine[Any, Any, None]], None]:
    """The function that runs the loop: uvloop's if uvloop is installed, because it is faster, otherwise asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


def _store_failed(failure: BaseException, settings: "Settings") -> CommandError:
    """Why the node has stopped by itself."""
    described = describe_error(failure, settings.data) if isinstance(failure, Exception) else None
    reason, remedy = (described.detail, described.remedy) if described else (str(failure), None)
    return CommandError(Exit.MACHINE, "storage", f"the store failed: {reason}", remedy)


def _not_listening(error: OSError, settings: "Settings") -> CommandError:
    """Why the node cannot listen. Errors of its data folder are no `OSError` by then."""
    from node.faults import of_listening

    host, port = settings.host, settings.port
    fault = of_listening(error, host, port)
    detail = f"cannot listen on {host}:{port}: {fault.reason}"
    if error.errno == EADDRINUSE and (key := _key_of_node_at(settings)):
        return CommandError(Exit.MACHINE, "machine", f"{detail}: a dnarc node with the key {key}", fault.remedy)
    return CommandError(Exit.MACHINE, "machine", detail, fault.remedy)


def _key_of_node_at(settings: "Settings") -> str | None:
    """The key of the node that answers at the address where this node should listen. None if it is another program."""
    from node.client.http import NodeClient, NodeError, Unreachable

    host = "127.0.0.1" if settings.host in ("", "0.0.0.0", "::") else settings.host
    try:
        with NodeClient(
            f"http://{f'[{host}]' if ':' in host else host}:{settings.port}", timeout_s=ASK_S_MAX
        ) as client:
            return client.get_node().node
    except (NodeError, Unreachable, ValueError):
        return None


def _signature() -> inspect.Signature:
    """The signature that typer reads: the settings file, and a flag for each setting."""
    file = inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Config)
    return inspect.Signature([file, *map(_flag, describe())])


def _flag(setting: Setting) -> inspect.Parameter:
    option = typer.Option(
        setting.flag,
        help=f"{setting.description} Default: {spell(setting.default)}.",
        metavar=_value_of(setting),
        show_default=False,
        rich_help_panel=setting.kind,
    )
    return inspect.Parameter(
        setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
    )


def _value_of(setting: Setting) -> str:
    """The word for the value in the help."""
    if setting.unit:
        return setting.unit.upper()
    match setting.default:
        case bool():
            return "BOOLEAN"
        case int():
            return "NUMBER"
        case Path():
            return "PATH"
        case _:
            return "TEXT"


serve.__signature__ = _signature()  # type: ignore[attr-defined]
