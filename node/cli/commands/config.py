"""Settings as a node would run with them, each with its source; and the version."""

import os
import platform
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.commands.options import AsJson
from node.cli.output.screen import reader_may_leave, show, table
from node.cli.output.text import plain

if TYPE_CHECKING:
    from node.settings import Setting

Config = Annotated[
    Path | None, typer.Option("--config", envvar="DNARC_CONFIG", metavar="FILE", help="A TOML file of settings.")
]


def config(
    file: Config = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="All settings and their defaults, for the docs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show every setting: its value, where that comes from, its unit and what it is for."""
    from node.settings import describe, load, spell

    if markdown:
        with reader_may_leave():
            print(markdown_table(describe()))
        return
    loaded = load(file, os.environ, {})
    values = {setting.name: getattr(loaded.settings, setting.name) for setting in describe()}
    sources = loaded.sources
    rows = [
        (each.name, spell(values[each.name]), each.unit, sources[each.name], each.description) for each in describe()
    ]
    answer = {
        each.name: {
            "value": values[each.name],
            "source": sources[each.name],
            "default": each.default,
            "unit": each.unit,
            "description": each.description,
        }
        for each in describe()
    }
    show(
        _plain_paths(answer), as_json, lambda: table(["setting", "~value", "unit", "~source", "~what it is for"], rows)
    )


def version(as_json: AsJson = False) -> None:
    """Show the version of dnarc, and of what it stands on."""
    answer = {
        "dnarc": version_of("dnarc"),
        "python": platform.python_version(),
        "pynacl": version_of("pynacl"),
        "aiohttp": version_of("aiohttp"),
    }
    words = ", ".join(f"{name} {number}" for name, number in answer.items())
    show(answer, as_json, lambda: plain(words))


def markdown_table(settings: "list[Setting]") -> str:
    """The settings as a table for `docs/operations.md`."""
    from node.settings import spell

    rows = [
        f"| `{each.name}` | `{each.variable}` | `{spell(each.default)}` | {each.unit} | {each.description} |"
        for each in settings
    ]
    return "\n".join(("| setting | variable | default | unit | what it is for |", "|---|---|---|---|---|", *rows))


def _plain_paths(answer: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    return {
        name: {key: str(value) if isinstance(value, Path) else value for key, value in facts.items()}
        for name, facts in answer.items()
    }
