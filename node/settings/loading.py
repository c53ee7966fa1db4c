"""Where the value of a setting comes from.

Four sources give values: the default, a TOML file, the environment (`DNARC_` and the name in capitals) and a flag. A
later source overrides an earlier one. `none` means no limit if the type allows it, and 0 means 0. An unknown name is an
error, because nobody would enforce a limit whose name is misspelled.
"""

import difflib
import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect

from node.faults import of_file
from node.settings.description import PREFIX, describe, parts_of, spell
from node.settings.items import ITEMS
from node.settings.service_variables import is_service_variable
from node.settings.settings import Settings
from node.settings.write_tables import TableError, write_policy_of

OTHER_VARIABLES: Final = ("DNARC_ADMIN_TOKEN", "DNARC_CONFIG", "DNARC_KEY", "DNARC_NODE", "DNARC_PASSPHRASE")
"""Variables of the environment that the commands read and that are no settings of a node."""

DEFAULT: Final = "default"
"""The source of a value that nobody set."""


class SettingsError(Exception):
    """The operator wrote an unknown setting or a bad value. The message says which, where, and what would be right."""


class Loaded(msgspec.Struct, frozen=True):
    """Settings, and the source of each by name: `DEFAULT`, or the file, variable or flag that set it.

    `skipped` names the variables that a container platform sets for a service. They look like settings and are not
    settings.
    """

    settings: Settings
    sources: dict[str, str]
    skipped: tuple[str, ...] = ()


def load(file: Path | None, environment: Mapping[str, str], flags: Mapping[str, object]) -> Loaded:
    """Read the settings from these three sources.

    `file` is a TOML file, or None. `environment` holds variables by name. `flags` holds values by the name of the
    setting: None for a flag that was not given. A text is read as in the environment.

    Raises:
        SettingsError: a source has an unknown name or a bad value, or the file cannot be read.
    """
    values: dict[str, Any] = {}
    sources = dict.fromkeys(_SETTINGS, DEFAULT)
    skipped = tuple(sorted(variable for variable, text in environment.items() if is_service_variable(variable, text)))
    ours = {variable: text for variable, text in environment.items() if variable not in skipped}
    for name, raw, source in (*_of_file(file), *_of_environment(ours), *_of_flags(flags)):
        values[name] = _convert(name, raw, source)
        sources[name] = source
    settings = Settings(**values)
    _check_witness(settings, sources)
    return Loaded(settings, sources, skipped)


def _check_witness(settings: Settings, sources: Mapping[str, str]) -> None:
    """A witness votes once. A store that another process may take over would let it vote twice."""
    if settings.witness and settings.store is not None:
        raise SettingsError(
            f"witness ({sources['witness']}) and store ({sources['store']}) exclude each other, because a node whose "
            "store another process may take over could vote twice: run the witness as a node of its own without store, "
            "and list it as a peer"
        )


class _Text(str):
    """A value from a source where all values are text, so that `300` may be a number."""

    __slots__ = ()


_Found = Iterator[tuple[str, Any, str]]
"""Yields the name, the raw value and the source of each value that is set."""


def _of_file(file: Path | None) -> _Found:
    if file is None:
        return
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8-sig"))  # some editors add a byte order mark
    except OSError as error:
        raise SettingsError(f"the settings file {file} cannot be read: {of_file(error, file)}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"the settings file {file} is no TOML: {error}") from error
    for name, raw in values.items():
        _check_name(name, _SETTINGS, f"in {file}")
        yield name, raw, str(file)


def _of_environment(environment: Mapping[str, str]) -> _Found:
    names = {setting.variable: setting.name for setting in describe() if not setting.is_table}
    for variable in sorted(environment):
        if variable.startswith(PREFIX) and variable not in OTHER_VARIABLES:
            _check_name(variable, names, "in the environment")
            yield names[variable], _Text(environment[variable]), variable


def _of_flags(flags: Mapping[str, object]) -> _Found:
    for name, raw in flags.items():
        _check_name(name, _SETTINGS, "among the flags")
        if raw is not None:
            yield name, _Text(raw) if isinstance(raw, str) else raw, _SETTINGS[name].flag


def _check_name(name: str, known: Mapping[str, object], place: str) -> None:
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
        hint = f"did you mean {close[0]}?" if close else "`dnarc config` lists them all"
        raise SettingsError(f"{name} {place} is no setting: {hint}")


def _convert(name: str, raw: Any, source: str) -> Any:
    try:
        return _value_of(name, raw)
    except TableError as error:
        raise SettingsError(f"{error} ({source})") from error
    except (msgspec.ValidationError, ValueError) as error:
        setting = _SETTINGS[name]
        unit = f", in {setting.unit}" if setting.unit else ""
        raise SettingsError(f"{name} is {spell(raw)!r} ({source}): it should be {setting.expected}{unit}") from error


def _value_of(name: str, raw: Any) -> Any:
    """The value as its type. The text `none` means None in every source, because TOML has no null.

    Raises:
        ValueError: `raw` is no value of this setting.
        msgspec.ValidationError: the same.
    """
    kind = _TYPES[name]
    if _SETTINGS[name].is_table:
        return write_policy_of(raw)
    if isinstance(raw, str) and raw.lower() == "none":
        return msgspec.convert(None, kind)
    is_text = isinstance(raw, _Text)
    if is_text and _is_list(kind):
        raw = [item.strip() for item in raw.split(",")]
    value = msgspec.convert(raw, kind, strict=not is_text, dec_hook=_path)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not finite")
    if isinstance(value, list) and not all(map(ITEMS[name].is_valid, value)):
        raise ValueError("not an item of this list")
    return value


def _path(kind: type, raw: object) -> Path:
    if kind is not Path or not isinstance(raw, str) or not raw:
        raise ValueError("not a path")
    return Path(raw)


def _is_list(kind: Any) -> bool:
    return any(isinstance(part, inspect.ListType) for part in parts_of(inspect.type_info(kind)))


_SETTINGS: Final = {setting.name: setting for setting in describe()}
_TYPES: Final[dict[str, Any]] = {field.name: field.type for field in msgspec.structs.fields(Settings)}
