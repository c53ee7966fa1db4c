"""Text for people: what comes from a record, a peer, a file or an error, so that it can only be read.

rich never reads it as markup, and a character that would steer a terminal is shown as an escape.
"""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.text import Text

_LAST_SECOND: Final = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())


def plain(value: object, style: str = "") -> "Text":
    """A value as text in which nothing is markup."""
    from rich.text import Text

    return Text(safe("" if value is None else str(value)), style)


def safe(text: str) -> str:
    """The text with every character that cannot be seen written as an escape, because strangers write claims."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def escape_json(text: str) -> str:
    """JSON of the same meaning, in which every character can be seen: others stand inside of strings only."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else json_escape(character) for character in text)


def compact(value: Any) -> str:
    """A JSON value in one line, for a cell."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def moment(timestamp: int | None) -> str:
    """Seconds since the Unix epoch as date and time in UTC; a number that no calendar reaches stays as it is."""
    if timestamp is None or not 0 <= timestamp <= _LAST_SECOND:
        return "" if timestamp is None else str(timestamp)
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def short(name: str | None) -> str:
    """The beginning of a key or an id: enough for people to tell a few apart."""
    return "" if name is None else name[:12]


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", errors="backslashreplace").decode()


def json_escape(character: str) -> str:
    return json.dumps(character, ensure_ascii=True)[1:-1]
