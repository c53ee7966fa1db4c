"""Log: what happened, one event in each line, on stderr. A terminal gets text for people, everything else gets JSON.

Events of libraries and of our own modules that use `logging` get the same form, so that one reader understands all of
them. Standard output stays free for the answers of commands. Tracebacks never show the values of variables, because
keys and tokens are among them.

The log never makes the node wait. If nobody reads stderr, lines are dropped and counted, as `node.console.line_writer`
says.
"""

import io
import logging
import sys
import threading
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from node.console.line_writer import LineWriter
from node.console.visible_text import safe

LEVEL = logging.INFO

_writers: list[LineWriter] = []  # that of the whole process, as logging is


def configure(form: str, stream: TextIO) -> None:
    """Write all events from now on to the stream. `form` is `human`, `json`, or `auto`: human in a terminal."""
    is_human = form == "human" or (form == "auto" and stream.isatty())
    handler = _Handler(stream) if _has_descriptor(stream) else logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_last(is_human, stream)],
        )
    )
    logging.basicConfig(handlers=[handler], level=LEVEL, force=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def log_what_python_reports() -> None:
    """Log the errors of threads and destructors, and warnings, which Python would write to stderr and wait for."""
    logger = logging.getLogger("python")
    logging.captureWarnings(True)
    threading.excepthook = lambda args: logger.error("a thread ended", exc_info=args.exc_value)
    sys.unraisablehook = lambda args: logger.error("an error in a destructor", exc_info=args.exc_value)


def write_line(line: str) -> None:
    """Write a line that is no event, such as the reason why the process ends, behind the events before it."""
    if _writers:
        _writers[-1].write(line)
    else:
        print(line, file=sys.stderr)  # noqa: T201 - nothing is logged to a descriptor


def dropped_lines() -> int:
    """Lines that were dropped because nobody read them."""
    return sum(writer.dropped for writer in _writers)


def close(timeout_s: float) -> None:
    """Wait until all is written, at most this many seconds: then nothing that the process does waits for a reader."""
    for writer in _writers:
        writer.close(timeout_s)


class _Handler(logging.Handler):
    """Hands the events to a thread that writes them."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._writer = LineWriter(stream, self._note)
        _writers.append(self._writer)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # logging would print a traceback, and wait for its reader
            line = f"an event could not be logged: {record.name}: {error!r}"
        self._writer.write(line)

    def _note(self, lines: int) -> str:
        names = {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING"}
        text = "%d lines of the log were dropped because nobody read them"
        return self.format(logging.makeLogRecord({**names, "msg": text, "args": (lines,)}))


def _has_descriptor(stream: TextIO) -> bool:
    try:
        return stream.fileno() >= 0
    except OSError:  # a stream in memory, which makes nobody wait
        return False


def _shared() -> list[Any]:
    """Steps that add the same fields to every event, whoever logged it."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _last(is_human: bool, stream: TextIO) -> list[Any]:
    """Steps that turn an event into a line."""
    if is_human:
        return [_make_visible, structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=_traceback)]
    transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [structlog.processors.ExceptionRenderer(transform), structlog.processors.JSONRenderer()]


def _make_visible(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape what steers a terminal or begins a line, because names and reasons come from strangers and from peers."""
    return {key: safe(value) if isinstance(value, str) else value for key, value in event.items()}


def _traceback(stream: TextIO, error: structlog.typing.ExcInfo) -> None:
    """Write a traceback whose lines are visible text: the error of a library may quote what a peer sent."""
    raw = io.StringIO()
    structlog.dev.plain_traceback(raw, error)
    stream.write("\n".join(map(safe, raw.getvalue().split("\n"))))
