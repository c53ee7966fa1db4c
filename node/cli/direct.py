"""`dnarc serve` without typer, so that a node answers sooner after its start.

typer takes 0.2 s of processor time to be imported, to build the command with all its flags, and to read them. Service
managers and scripts write `serve --flag VALUE --flag VALUE`, which is easily read. typer gets every other command line:
help, a value after `=`, a repeated or unknown flag, a missing value. So typer explains what is wrong.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

COMMAND: Final = "serve"
CONFIG: Final = "config"
CONFIG_VARIABLE: Final = "DNARC_CONFIG"


def read_flags(arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, str] | None:
    """The settings by name, and the settings file as `config`, of a plain `serve` command. None: it is for typer."""
    if not arguments or arguments[0] != COMMAND or len(arguments) % 2 == 0:
        return None
    from node.settings.description import describe

    names = {setting.flag: setting.name for setting in describe() if not setting.is_table} | {"--config": CONFIG}
    flags, values = arguments[1::2], arguments[2::2]
    is_plain = len(set(flags)) == len(flags) and names.keys() >= set(flags) and not any(map(_is_option, values))
    if not is_plain:
        return None
    found = {names[flag]: value for flag, value in zip(flags, values, strict=True)}
    file = environment.get(CONFIG_VARIABLE)
    return {CONFIG: file} | found if file else found


def serve_directly(flags: Mapping[str, str]) -> int:
    """Run a node with what `read_flags` found. Returns the exit code of the process."""
    from node.cli.run_node import run_node

    file = flags.get(CONFIG)
    return run_node(Path(file) if file is not None else None, {k: v for k, v in flags.items() if k != CONFIG})


def _is_option(value: str) -> bool:
    return value.startswith("-")
