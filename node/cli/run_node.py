"""Run a node until a signal ends it, or its store fails: what `dnarc serve` does, without its command line.

A node should be there soon after its process starts, so this module imports neither typer nor rich.
"""

import asyncio
import gc
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from errno import EADDRINUSE
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.cli.output.failures import CommandError, Exit
from node.cli.output.failures import describe as describe_error
from node.console.line_writer import LineWriter
from node.settings.description import spell
from node.settings.loading import load

if TYPE_CHECKING:
    from node.fleet.member import Member
    from node.node import Node
    from node.settings.settings import Settings

SIGNALS = (signal.SIGTERM, signal.SIGINT)

STOP_S_MAX = 4.5
"""Seconds from the signal to the end of the process, whatever clients, peers and the disk do. The docs promise 5 s.
Records that were answered with 201 are on disk already, so an abrupt end loses nothing.
"""

ASK_S_MAX = 1.0
"""Seconds to wait for the program that listens at this node's address to say whether it is a node."""

GARBAGE_MAX = 5_000
"""New objects after which the collector looks for garbage in cycles; Python's own number is 700. Nearly all garbage is
freed at once, without the collector."""

OLDER_LOOKS = 1
"""Looks at new objects after which the collector also looks at those that survived one look; Python's own number is 10.
It looks at the same objects, but at fewer of them at once: the event loop stood for 85 ms while it looked at 50,000."""

OLDEST_LOOKS = 40
"""Looks at those after which the collector may look at all objects; Python's own number is 10. So the collector looks
at all objects as often as before."""

SWITCH_S = 0.00005
"""How long a busy thread keeps the interpreter's lock if another thread wants it. A commit wants it after each of its
statements. With 5 ms, which is Python's default, the commit of one claim beside a busy event loop took 0.3 s.

This time has to be shorter than a turn of the loop. The loop gives the lock up for a moment in each turn, which wakes a
thread that waits. If the loop has the lock again by then, the thread begins to wait anew. With 0.5 ms, a commit beside
turns of 0.12 ms took 1,200 turns.
"""

FLUSH_S_MAX = 1.0
"""Seconds to wait for the reader of the log. After that, the process ends without the last lines."""


def run_node(config: Path | None, flags: Mapping[str, str | None]) -> int:
    """Run a node with these settings to its end. Returns the exit code of the process.

    Raises:
        SettingsError: a setting is wrong.
    """
    _import_structlog()
    import structlog

    from node.console import log

    loaded = load(config, os.environ, flags)
    settings = loaded.settings
    log.configure(settings.log_format, sys.stderr)
    log.log_what_python_reports()
    if loaded.skipped:
        structlog.get_logger().info("service variables skipped", variables=spell(list(loaded.skipped)))
    _allow_files(settings.files_needed)
    sys.setswitchinterval(SWITCH_S)
    try:
        _runner()(_serve(settings))
    except Exception as error:
        failure = describe_error(error, settings.data)
        if failure is None:
            raise
        log.write_line(f"dnarc: {failure.line}")
        return failure.exit_code
    finally:
        log.close(FLUSH_S_MAX)
    return Exit.DONE


def _import_structlog() -> None:
    """Import structlog, and not rich, which takes as long to import as aiohttp's client.

    structlog takes rich for tracebacks in color, if rich is there. The log has plain tracebacks only.
    """
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment] # an import of it fails from now on
    try:
        import structlog  # noqa: F401 - for its place in `sys.modules`
    finally:
        del sys.modules["rich"]


def spare_garbage_collector() -> None:
    """Let the collector look rarely for garbage, and never at the parts of a node that has started.

    They live as long as the process. A full collection would look at all of them again each time, for 40 ms, in which
    nobody is answered.
    """
    gc.freeze()
    gc.set_threshold(GARBAGE_MAX, OLDER_LOOKS, OLDEST_LOOKS)


async def _serve(settings: "Settings") -> None:
    node = _make(settings)
    stop = _stop_at_a_signal()
    try:
        await node.__aenter__()
    except OSError as error:
        raise _not_listening(error, settings) from error
    spare_garbage_collector()
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


def _make(settings: "Settings") -> "Node | Member":
    """A node by itself, or a process of a fleet. Raises: CannotStartError: the driver for the database is missing."""
    from node.node import Node

    if settings.store is None:
        return Node(settings)
    from node.disk import CannotStartError

    try:
        from node.fleet.member import Member
    except ImportError as error:
        remedy = "install it: pip install 'dnarc[postgresql]'"
        raise CannotStartError("the driver for PostgreSQL is not installed", remedy) from error
    member = Member(settings, Node)
    member.watchers.append(forget_ended_nodes)
    return member


def forget_ended_nodes() -> None:
    """Let go of a node that has ended. It was frozen with all else at the start, so the collector would not see it."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


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
    from node.client.errors import NodeError, Unreachable
    from node.client.http import NodeClient

    host = "127.0.0.1" if settings.host in ("", "0.0.0.0", "::") else settings.host
    try:
        with NodeClient(
            f"http://{f'[{host}]' if ':' in host else host}:{settings.port}", timeout_s=ASK_S_MAX
        ) as client:
            return client.get_node().node
    except (NodeError, Unreachable, ValueError):
        return None
