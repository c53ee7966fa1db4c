"""The tables of the settings file that say who may write: `[write]` for all domains, `[write."example.org"]` for one.

A list of keys or labels cannot be a flag, so these rules stand in the file alone. Every error names the table, the key
in it, and what would be right, because a ban that is misspelled would let in what it should keep out.
"""

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from protocol.limits import LABEL_BYTES_MAX, RECORD_BYTES_MAX
from protocol.records.record import is_domain, is_label
from protocol.records.write_policy import WritePolicy, WriteRules
from protocol.signing import is_key

MESSAGE_CHARACTERS_MAX: Final = 500

QUOTAS: Final = ("domain_records_max", "domain_bytes_max")
"""Rules that stand only in the table of a domain, because for all domains they are settings of their own."""

_ALL: Final = "[write]"
_SHOWN_CHARACTERS: Final = 60


class TableError(ValueError):
    """A table or a value in it is wrong. The text says which, and what would be right."""


class _Rule(msgspec.Struct, frozen=True):
    """What the value of a key may be, and how it becomes the value of a field."""

    is_valid: Callable[[Any], bool]
    words: str
    value_of: Callable[[Any], object] = lambda raw: raw
    may_be_none: bool = True


def _is_list_of(is_valid: Callable[[str], bool]) -> Callable[[Any], bool]:
    return lambda raw: isinstance(raw, list) and all(isinstance(each, str) and is_valid(each) for each in raw)


def _is_whole(least: int, most: int) -> Callable[[Any], bool]:
    return lambda raw: type(raw) is int and least <= raw <= most


def _is_message(raw: Any) -> bool:
    return isinstance(raw, str) and 0 < len(raw) <= MESSAGE_CHARACTERS_MAX


_KEY_WORDS: Final = "a list of keys, each of 64 lower-case hex digits in quotes"
_LABEL_WORDS: Final = f"a list of beginnings of labels in quotes, each of 1 to {LABEL_BYTES_MAX} bytes"

RULES: Final[Mapping[str, _Rule]] = {
    "founders": _Rule(_is_list_of(is_key), f'{_KEY_WORDS}, or "none" for every key', frozenset),
    "writers": _Rule(_is_list_of(is_key), f'{_KEY_WORDS}, or "none" for every key', frozenset),
    "banned_keys": _Rule(_is_list_of(is_key), _KEY_WORDS, frozenset, may_be_none=False),
    "banned_labels": _Rule(_is_list_of(is_label), _LABEL_WORDS, tuple, may_be_none=False),
    "labels_per_founder_max": _Rule(_is_whole(0, 2**53 - 1), 'a whole number of at least 0, or "none" for no limit'),
    "record_bytes_max": _Rule(
        _is_whole(1, RECORD_BYTES_MAX), f'a whole number of 1 to {RECORD_BYTES_MAX} bytes, or "none" for no limit'
    ),
    **dict.fromkeys(QUOTAS, _Rule(_is_whole(0, 2**53 - 1), 'a whole number of at least 0, or "none" for no limit')),
    "message": _Rule(_is_message, f'a text of 1 to {MESSAGE_CHARACTERS_MAX} characters, or "none"'),
}


def write_policy_of(raw: object) -> WritePolicy:
    """The policy in the table `write` of a settings file. A table inside it belongs to the domain of its name.

    Raises:
        TableError: the table is wrong.
    """
    if not isinstance(raw, dict):
        raise TableError(f'write should be a table: {_ALL} for all domains, [write."example.org"] for one')
    domains = {name: table for name, table in raw.items() if isinstance(table, dict)}
    for_all = WriteRules(**_values(_ALL, {name: value for name, value in raw.items() if name not in domains}))
    for name in domains:
        if not is_domain(name):
            raise TableError(f'[write.{_quoted(name)}] should bear the name of a domain, such as [write."example.org"]')
    own = {name: _values(f"[write.{_quoted(name)}]", table) for name, table in domains.items()}
    return WritePolicy(for_all, {name: for_all.within(values) for name, values in own.items()})


def tables_of(policy: WritePolicy) -> dict[str, dict[str, object]]:
    """The tables by their heads, each with the rules that apply there and differ from the default."""
    tables = {_ALL: _as_table(policy.for_all)}
    tables |= {f"[write.{_quoted(name)}]": _as_table(rules) for name, rules in sorted(policy.domains.items())}
    return {head: table for head, table in tables.items() if table}


def spell_tables(policy: WritePolicy) -> str:
    """The same as a text, one line a table. `none`: everybody may write."""
    lines = [
        f"{head} " + ", ".join(f"{name} = {_json(value)}" for name, value in table.items())
        for head, table in tables_of(policy).items()
    ]
    return "\n".join(lines) or "none"


def _as_table(rules: WriteRules) -> dict[str, object]:
    default = WriteRules()
    changed = {name: getattr(rules, name) for name in RULES if getattr(rules, name) != getattr(default, name)}
    changed |= {name: "none" for name, value in changed.items() if value is None}
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in changed.items()}


def _values(table: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(table, name, value) for name, value in raw.items()}


def _value(table: str, name: str, raw: Any) -> object:
    rule = RULES.get(name)
    if rule is None:
        close = difflib.get_close_matches(name, RULES, n=1, cutoff=0.6)
        hint = f"did you mean {close[0]}?" if close else f"the keys are {', '.join(RULES)}"
        raise TableError(f"{name} in the table {table} is no rule: {hint}")
    if name in QUOTAS and table == _ALL:
        raise TableError(
            f"{name} in the table {_ALL} is no rule for all domains: write it above the tables, as a setting"
        )
    if rule.may_be_none and raw == "none":
        return None
    if not rule.is_valid(raw):
        raise TableError(f"{name} in the table {table} is {_shown(raw)}: it should be {rule.words}")
    return rule.value_of(raw)


def _shown(raw: Any) -> str:
    text = repr(raw)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _quoted(name: str) -> str:
    return _json(name)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
