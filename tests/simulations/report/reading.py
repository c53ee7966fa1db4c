"""Reads a page as a browser does, as far as the tests need it: its elements, attributes and text."""

from collections import Counter
from html.parser import HTMLParser

VOID = frozenset({"br", "input", "line", "link", "meta"})
REACHING_OUT = ("src", "href", "action", "data", "poster", "srcset", "xlink:href", "style", "ping", "formaction")
"""Attributes by which an element can make a request."""


class Page(HTMLParser):
    """The content of a document.

    `elements`: how many of each. `links`: targets of requests. `handlers`: attributes with scripts. `data`: the JSON in
    script elements. `policy`: the content security policy. `unclosed`: elements without an end.
    """

    def __init__(self, document: str) -> None:
        """`document`: HTML."""
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.words: list[str] = []
        self.data: list[str] = []
        self.policy = ""
        self.unclosed: list[str] = []
        self.feed(document)
        self.close()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)
        if tag not in VOID:
            self.unclosed.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed, f"</{tag}> ends nothing"
        assert self.unclosed.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.unclosed[-1:] == ["script"] and data.startswith("{"):
            self.data.append(data)
        elif self.unclosed[-1:] not in (["script"], ["style"]):
            self.words.append(data)

    def _note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.elements[tag] += 1
        self.links += [values[name] or "" for name in REACHING_OUT if name in values]
        self.handlers += [name for name in values if name.startswith("on")]
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"] or ""
