"""Text for people that cannot do anything but be read, whatever record, peer, file or error it comes from.

rich never reads the text as markup, and `node.console.visible_text` shows what must not be shown as it is as escapes.
"""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from node.console.visible_text import is_visible, safe

if TYPE_CHECKING:
    from rich.text import Text

_LAST_SECOND: Final = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())


def plain(value: object, style: str = "") -> "Text":
    """A value as text without markup."""
    from rich.text import Text

    return Text(safe("" if value is None else str(value)), style)


def escape_json(text: str) -> str:
    """JSON of the same meaning without invisible characters. In JSON, they stand only inside strings."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if is_visible(character) else json_escape(character) for character in text)


def compact(value: Any) -> str:
    """A JSON value in one line, for a cell of a table."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def moment(timestamp: int | None) -> str:
    """Seconds since the Unix epoch as date and time in UTC. A number past the year 9999 stays a number."""
    if timestamp is None or not 0 <= timestamp <= _LAST_SECOND:
        return "" if timestamp is None else str(timestamp)
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def many(number: int, noun: str) -> str:
    """A number of things: `1 record`, `2,000 records`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def short(name: str | None) -> str:
    """The beginning of a key or an id, with which people can tell a few of them apart."""
    return "" if name is None else name[:12]


def json_escape(character: str) -> str:
    return json.dumps(character, ensure_ascii=True)[1:-1]
