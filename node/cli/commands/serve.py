"""`dnarc serve`: run a node until a signal ends it, or its store fails.

Every setting has a flag. The flags are made from the settings, so that no flag can be missing. Once the node accepts
requests, it prints one line to stdout, its URL. A program that starts a node can wait for this line.

This module is for help, for errors and for unusual spellings of flags. Usual ones need no typer: see `node.cli.direct`.
"""

import inspect
from pathlib import Path
from typing import Annotated

import typer

from node.cli.commands.config import Config
from node.cli.run_node import run_node
from node.settings.description import Setting, describe, spell


def serve(config: Path | None = None, **flags: str | None) -> None:
    """Run a node. It prints its URL once it accepts requests, logs to stderr, and ends on SIGTERM or SIGINT.

    On SIGHUP it reads its certificate again. The value of --max-age, for example, can also stand in the settings file
    as max_age, or in the environment as DNARC_MAX_AGE. `dnarc config` shows every setting and its source.
    """
    raise typer.Exit(run_node(config, flags))


def _signature() -> inspect.Signature:
    """The signature that typer reads: the settings file, and a flag for each setting."""
    file = inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Config)
    return inspect.Signature([file, *(_flag(each) for each in describe() if not each.is_table)])


def _flag(setting: Setting) -> inspect.Parameter:
    option = typer.Option(
        setting.flag,
        help=f"{setting.description} Default: {spell(setting.default)}.",
        metavar=_value_of(setting),
        show_default=False,
        rich_help_panel=setting.kind,
    )
    return inspect.Parameter(
        setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
    )


def _value_of(setting: Setting) -> str:
    """The word for the value in the help."""
    if setting.unit:
        return setting.unit.upper()
    match setting.default:
        case bool():
            return "BOOLEAN"
        case int():
            return "NUMBER"
        case Path():
            return "PATH"
        case _:
            return "TEXT"


serve.__signature__ = _signature()  # type: ignore[attr-defined]
