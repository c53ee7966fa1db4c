"""The page: one file that contains its style and its script, and makes no request.

A policy in its head (Content Security Policy Level 3) forbids every request, and every script and style except for
ours, which it names by their digests. So if a mistake lets a stranger's text become markup, that text still cannot run.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Final

import msgspec

from simulations.report.markup import Markup, join, tag

_DOCTYPE: Final = Markup("<!DOCTYPE html>\n")


class Tile(msgspec.Struct, frozen=True):
    """One figure in large type, with its name, and a few words about it."""

    name: str
    figure: str
    words: str = ""


def page(title: str, lede: str, parts: Iterable[Markup]) -> str:
    """The whole document. `lede`: the sentence below the title."""
    style, script = _style(), _file("simulations.report", "page.js")
    policy = f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style)),
    )
    header = tag("header", tag("p", "dnarc simulate", class_="over"), tag("h1", title), tag("p", lede, class_="lede"))
    body = tag("body", header, tag("main", *parts), tag("script", Markup(script)))
    return _DOCTYPE + tag("html", head, body, lang="en") + "\n"


def section(title: str, *parts: object) -> Markup:
    return tag("section", tag("h2", title), *parts)


def tiles(items: Sequence[Tile]) -> Markup:
    """Figures side by side."""
    return tag(
        "dl",
        *(tag("div", tag("dt", it.name), tag("dd", it.figure), tag("dd", it.words, class_="soft")) for it in items),
        class_="tiles",
    )


def html_table(columns: Sequence[str], cells: Iterable[Sequence[object]]) -> Markup:
    """A table. A column whose name begins with `#` has numbers, and one with `~` has prose, whose lines may break."""
    styles = [{"#": "number", "~": "prose"}.get(column[:1]) for column in columns]
    head = tag(
        "tr", *(tag("th", it.lstrip("#~"), scope="col", class_=s) for it, s in zip(columns, styles, strict=True))
    )
    body = [tag("tr", *(tag("td", it, class_=s) for it, s in zip(row, styles, strict=True))) for row in cells]
    return tag("div", tag("table", tag("thead", head), tag("tbody", *body)), class_="scroll", tabindex="0")


def details(summary: str, *parts: object, is_open: bool = False) -> Markup:
    """Parts that are hidden behind their summary until the reader opens them."""
    return tag("details", tag("summary", summary), *parts, open=is_open)


def repeat_line(command: str) -> Markup:
    """A line with the command that repeats everything on the page."""
    return tag("p", "Again: ", tag("code", command), class_="again")


def badge(is_good: bool) -> Markup:
    return tag("span", "holds" if is_good else "fails", class_="badge good" if is_good else "badge bad")


def json_data(value: object) -> Markup:
    """JSON for a script element, without any character that could end the element."""
    written = msgspec.json.encode(value).decode()
    return Markup(written.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _style() -> str:
    """The explorer's colours, and our own rules."""
    return _file("node.explorer", "page/tokens.css") + _file("simulations.report", "page.css")


def _file(package: str, path: str) -> str:
    return files(package).joinpath(path).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def bullet_list(items: Iterable[object]) -> Markup:
    return tag("ul", *(tag("li", it) for it in items))


def article(*parts: object, name: str) -> Markup:
    """One of several runs on a page. `name`: the target for links."""
    return tag("article", join(parts), id=name)
