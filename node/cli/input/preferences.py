"""The user's own configuration: defaults for options of commands, in `~/.config/dnarc/config.toml`.

    node = "https://node.example"
    key = "alice.key"

The place follows the XDG Base Directory Specification. A variable of the environment overrides the file, and an option
on the command line overrides both. Only options that read a variable read the file too. A node never reads this file,
so that its settings do not depend on the user who starts it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from node.cli.input.options import DEFAULT_KEY, DEFAULT_NODE
from node.cli.output.failures import CommandError, Exit


class Preference(NamedTuple):
    """Something that a user can configure. `is_path` tells that the value is the path of a file."""

    name: str
    variable: str
    description: str
    default: str | None
    is_path: bool = False


PREFERENCES: Final = (
    Preference("node", "DNARC_NODE", "URL of the node that commands ask.", DEFAULT_NODE),
    Preference("key", "DNARC_KEY", "File of the key that signs.", str(DEFAULT_KEY), is_path=True),
    Preference(
        "tls_ca", "DNARC_TLS_CA", "PEM file of the authority that signed the node's certificate.", None, is_path=True
    ),
)


class Chosen(NamedTuple):
    """The value of a preference, and its source: `default`, the path of the file, or the name of the variable."""

    value: str | None
    source: str


def find_file(environment: Mapping[str, str]) -> Path | None:
    """The path of the user's file, whether the file exists or not. None: the user has no home folder."""
    folder = Path(environment.get("XDG_CONFIG_HOME", ""))
    if not folder.is_absolute():  # the specification says to ignore a relative path
        try:
            folder = Path.home() / ".config"
        except RuntimeError:
            return None
    return folder / "dnarc" / "config.toml"


def read_file(file: Path | None) -> dict[str, str]:
    """The values in the user's file by name. A relative path in the file is relative to the file's folder.

    Raises:
        CommandError: the file cannot be read, or has an unknown name or a bad value.
    """
    import tomllib

    if file is None:
        return {}
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _bad(f"your configuration {file} cannot be read: {error}") from error
    return {name: _convert(name, value, file) for name, value in raw.items()}


def choose(environment: Mapping[str, str]) -> dict[str, Chosen]:
    """Each preference by name, as a command without options takes it. Raises: CommandError: the file is bad."""
    file = find_file(environment)
    values = read_file(file)
    chosen = {}
    for each in PREFERENCES:
        if environment.get(each.variable):
            chosen[each.name] = Chosen(environment[each.variable], each.variable)
        elif each.name in values:
            chosen[each.name] = Chosen(values[each.name], str(file))
        else:
            chosen[each.name] = Chosen(each.default, "default")
    return chosen


def find_defaults(command: Any, environment: Mapping[str, str]) -> dict[str, Any]:
    """The defaults that the user's file gives to options of a command, or to each command of a group.

    The file is not read if no option can take a value from it. So a bad file does not keep a node from starting.

    Raises:
        CommandError: the file is bad.
    """
    names = _options_of(command)
    return _fill(names, read_file(find_file(environment))) if names else {}


def _options_of(command: Any) -> dict[str, Any]:
    """The name of the preference for each option of a command. A group has such a dict for each command."""
    by_variable = {each.variable: each.name for each in PREFERENCES}
    below = {name: _options_of(each) for name, each in getattr(command, "commands", {}).items()}
    own = {each.name: by_variable[each.envvar] for each in command.params if each.envvar in by_variable}
    return own | {name: names for name, names in below.items() if names}


def _fill(names: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    return {
        option: _fill(name, values) if isinstance(name, dict) else values[name]
        for option, name in names.items()
        if isinstance(name, dict) or name in values
    }


def _convert(name: str, value: object, file: Path) -> str:
    known = {each.name: each for each in PREFERENCES}
    if name not in known:
        raise _bad(f"{name} in {file} is no option of commands: {_hint(name, list(known))}")
    if not isinstance(value, str) or not value:
        raise _bad(f"{name} in {file} is {value!r}: it should be a text in quotes")
    if not known[name].is_path:
        return value
    try:
        return str(file.parent / Path(value).expanduser())
    except RuntimeError as error:
        raise _bad(f"{name} in {file} is {value!r}: {error}") from error


def _hint(name: str, known: list[str]) -> str:
    """What the user probably meant by an unknown name."""
    import difflib

    from node.settings.description import describe

    if name in {setting.name for setting in describe()}:
        return "it is a setting of a node, and belongs in the file of `dnarc serve --config FILE`"
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"


def _bad(detail: str) -> CommandError:
    return CommandError(Exit.USAGE, "settings", detail)
