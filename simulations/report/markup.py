"""Markup: elements of HTML and SVG as text, in which nothing becomes markup by accident.

What an element holds is escaped unless it is `Markup` itself, and only the functions here and files of this package
make that: a label or a name from a record, which strangers write, stays text whatever is in it.
"""

from collections.abc import Iterable
from html import escape
from typing import Final

from node.cli.output.text import safe

_VOID: Final = frozenset({"br", "circle", "input", "line", "meta", "path", "polygon", "polyline", "rect"})
"""Elements here that hold nothing: HTML forbids their end tag, or SVG spares it."""

_SVG_VOID: Final = frozenset({"circle", "line", "path", "polygon", "polyline", "rect"})

Attribute = str | float | bool | None


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: Attribute) -> Markup:
    """An element. `class_` is `class`, and `_` is `-` in names of attributes; None and False leave one away."""
    opening = name + "".join(_attribute(key, value) for key, value in attributes.items())
    inside = join(children)
    if name in _VOID and not inside:
        return Markup(f"<{opening}/>" if name in _SVG_VOID else f"<{opening}>")
    return Markup(f"<{opening}>{inside}</{name}>")


def join(parts: Iterable[object]) -> Markup:
    """One after another; what is no markup is escaped, and None is nothing."""
    return Markup("".join(part if isinstance(part, Markup) else text(part) for part in parts if part is not None))


def text(value: object) -> Markup:
    """The value as text, in which every character that would not be seen is spelled out, but for ends of lines."""
    return Markup(escape("\n".join(map(safe, str(value).split("\n")))))


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{_written(value)}"'


def _written(value: str | float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else text(value)
