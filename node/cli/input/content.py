"""The content of a claim: what a person writes, how it merges into the claim before, and what it changes.

A merge is a JSON Merge Patch (RFC 7396): fields that are not named stay, `null` removes a field, objects merge field by
field, and every other value replaces the value before.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from node.cli.output.failures import unreadable, usage
from node.cli.output.screen import warn
from node.client.content import OWN_FIELDS, Content


class FieldChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """One difference between two claims. `path` is a JSON Pointer (RFC 6901).

    A field that is added has no `before`, a field that is removed has no `after`.
    """

    path: str
    before: Any = msgspec.UNSET
    after: Any = msgspec.UNSET

    @property
    def is_removal(self) -> bool:
        return self.after is msgspec.UNSET


def parse_pairs(pairs: Sequence[str]) -> Content:
    """The object that `key=value` arguments spell. Raises: CommandError: one is no pair, or a key is there twice."""
    content: Content = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise usage(f"{pair!r} is no KEY=VALUE")
        if name in content:
            raise usage(f"the key {name!r} is there twice")
        content[name] = parse_value(text)
        if content[name] == text and text[:1] in ("{", "["):
            warn(f"{name} is claimed as text, because its value is no JSON: did the shell take the quotes away?")
    return _check_content(content)


def parse_value(text: str) -> Any:
    """The JSON value in the text, or else the text itself. NaN and Infinity are text, because JSON has neither.

    Raises:
        ProtocolError: `malformed`: this is JSON that no record may hold, for example with a key that is repeated.
    """
    from protocol.records.canonical import canonicalise

    try:
        json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text
    return canonicalise(text.encode(errors="surrogatepass"))[0]


def read_object(file: str) -> Content:
    """The JSON object in a file; `-` is stdin. Raises: CommandError: the file cannot be read or holds no object."""
    from protocol.errors import ProtocolError
    from protocol.records.canonical import canonicalise

    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        value, _ = canonicalise(data)
    except OSError as error:
        raise unreadable(file, error) from error
    except ProtocolError as error:
        raise usage(f"{file} holds no JSON that a record may hold: {error.detail}") from error
    if not isinstance(value, dict):
        raise usage(f"{file} holds no JSON object, and a claim is one")
    return _check_content(value)


def merge(before: Mapping[str, Any], patch: Mapping[str, Any]) -> Content:
    """The claim before with the patch applied to it (RFC 7396)."""
    merged = dict(before)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            inner = merged.get(name)
            merged[name] = merge(inner if isinstance(inner, Mapping) else {}, value)
        else:
            merged[name] = value
    return merged


def find_changes(before: Mapping[str, Any], after: Mapping[str, Any], path: str = "") -> Iterator[FieldChange]:
    """What differs, field by field. Objects are compared inside, lists as a whole."""
    for name in sorted(before.keys() | after.keys()):
        place = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
        old, new = before.get(name, msgspec.UNSET), after.get(name, msgspec.UNSET)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from find_changes(old, new, place)
        elif not _is_same(old, new):
            yield FieldChange(place, old, new)


def _is_same(old: Any, new: Any) -> bool:
    """By canonical bytes, because `1 == True` in Python."""
    from protocol.records.canonical import encode

    if old is msgspec.UNSET or new is msgspec.UNSET:
        return old is new
    return encode([old]) == encode([new])


def _check_content(content: Content) -> Content:
    own = [name for name in OWN_FIELDS if name in content]
    if own:
        raise usage(f"{own[0]!r} is set by dnarc itself", "`dnarc transfer` offers a label to another key")
    return content


def _refuse_constant(text: str) -> Any:
    raise ValueError(text)
