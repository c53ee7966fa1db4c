"""`dnarc serve`: run a node until a signal ends it, or its store fails.

Every setting is a flag, made from the settings themselves so that none can be forgotten. One line goes to stdout, the
URL, once requests are accepted: whoever started the process can wait for that line and needs no other sign.
"""

import asyncio
import inspect
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.commands.config import Config
from node.cli.output.failures import CommandError, Exit
from node.cli.output.failures import describe as describe_error
from node.line_writer import LineWriter
from node.settings import Setting, describe, load, spell

if TYPE_CHECKING:
    from node.settings import Settings

SIGNALS = (signal.SIGTERM, signal.SIGINT)

STOP_S_MAX = 4.5
"""Seconds from the signal to the end of the process, whatever clients, peers and the disk do meanwhile: operators are
promised 5 s. What was answered with 201 is on disk already, so an end without goodbye loses nothing.
"""


FLUSH_S_MAX = 1.0
"""Seconds to wait for whoever reads the log before the process ends without its last lines."""


def serve(config: Path | None = None, **flags: str | None) -> None:
    """Run a node. It prints its URL once it accepts requests, logs to stderr, and ends on SIGTERM or SIGINT.

    On SIGHUP it reads its certificate anew.
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
        failure = _failure(error, settings)
        if failure is None:
            raise
        log.write_line(f"dnarc: {failure.line}")
        raise typer.Exit(failure.exit_code) from error
    finally:
        log.close(FLUSH_S_MAX)


async def _serve(settings: "Settings") -> None:
    from node.disk import CannotStartError
    from node.node import Node

    node = Node(settings)
    stop = _stop_at_a_signal()
    try:
        await node.__aenter__()
    except CannotStartError as error:
        raise CommandError(Exit.MACHINE, "cannot_start", str(error)) from error
    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGHUP, lambda _number, _frame: loop.call_soon_threadsafe(node.reload))
    try:
        LineWriter(sys.stdout).write(node.url)
        await asyncio.wait([stop, node.failed], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await node.__aexit__(None, None, None)
    failure = node.failed.exception() if node.failed.done() else None  # asked last, as the last commit may fail too
    if failure is not None:
        raise CommandError(Exit.MACHINE, "storage", f"the store failed: {failure}") from failure


def _stop_at_a_signal() -> "asyncio.Future[None]":
    """A future that ends with the first signal. A second one changes nothing: the node is closing already.

    The handlers are Python's and not the loop's, so that the deadline begins even while the loop is busy.
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
    """Raise the soft limit on open files, which is low for the sake of programs that use `select`, where that is up to
    us. What the hard limit does not grant, `dnarc doctor` finds.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _runner() -> Callable[[Coroutine[Any, Any, None]], None]:
    """Where uvloop is installed, its loop: the same one in C."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


def _failure(error: Exception, settings: "Settings") -> CommandError | None:
    """The failure behind an error, with what an operator needs to know beside it; None where only we can mend it."""
    if isinstance(error, OSError):
        address = f"{settings.host}:{settings.port}"
        words = f"{error.strerror or error} (listening on {address}, data in {settings.data})"
        return CommandError(Exit.MACHINE, "machine", words)
    return describe_error(error)


def _flag(setting: Setting) -> inspect.Parameter:
    unit = f" In {setting.unit}." if setting.unit else ""
    option = typer.Option(
        setting.flag,
        help=f"{setting.description}{unit}",
        metavar="TEXT" if not setting.unit else "NUMBER",
        show_default=spell(setting.default),
    )
    return inspect.Parameter(
        setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
    )


def _signature() -> inspect.Signature:
    """What typer reads: the file, then a flag for each setting."""
    file = inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Config)
    return inspect.Signature([file, *map(_flag, describe())])


serve.__signature__ = _signature()  # type: ignore[attr-defined]
