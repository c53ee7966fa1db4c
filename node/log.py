"""Log: what happened, one event in each line, on stderr. A terminal gets text for people, everything else gets JSON.

Events of libraries and of our own modules that use `logging` get the same form, so that one reader understands all of
them. Standard output stays free for the answers of commands. Tracebacks never show the values of variables, because
keys and tokens are among them.
"""

import logging
from typing import Any, TextIO

import structlog

LEVEL = logging.INFO


def configure(form: str, stream: TextIO) -> None:
    """Write all events from now on to the stream. `form` is `human`, `json`, or `auto`: human in a terminal."""
    is_human = form == "human" or (form == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
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
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain)]
    transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [structlog.processors.ExceptionRenderer(transform), structlog.processors.JSONRenderer()]
