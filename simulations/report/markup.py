"""Markup: elements of HTML and SVG as text. No text becomes markup by accident.

The content of an element is escaped unless it is `Markup`. Only this package makes `Markup`. So a label or a name from
a record, which a stranger can write, stays text whatever it contains.
"""

from collections.abc import Iterable
from html import escape
from typing import Final

from node.console.visible_text import safe

_VOID: Final = frozenset({"br", "circle", "input", "line", "meta", "path", "polygon", "polyline", "rect"})
"""Elements without content. In HTML they must have no end tag, and in SVG they need none."""

_SVG_VOID: Final = frozenset({"circle", "line", "path", "polygon", "polyline", "rect"})
"""Those of them that belong to SVG, and are closed by `/>`."""

Attribute = str | float | bool | None


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: Attribute) -> Markup:
    """An element. `class_` stands for the attribute `class`, and `_` stands for `-`. An attribute that is None or False
    is left out.
    """
    opening = name + "".join(_attribute(key, value) for key, value in attributes.items())
    inside = join(children)
    if name in _VOID and not inside:
        return Markup(f"<{opening}/>" if name in _SVG_VOID else f"<{opening}>")
    return Markup(f"<{opening}>{inside}</{name}>")


def join(parts: Iterable[object]) -> Markup:
    """All parts one after another. A part that is no markup is escaped, and None is left out."""
    return Markup("".join(part if isinstance(part, Markup) else text(part) for part in parts if part is not None))


def text(value: object) -> Markup:
    """The value as escaped text. Invisible characters are spelled out, except for ends of lines."""
    return Markup(escape("\n".join(map(safe, str(value).split("\n")))))


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{_format_attribute(value)}"'


def _format_attribute(value: str | float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else text(value)
