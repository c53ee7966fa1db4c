"""`dnarc config` and `dnarc version`: the settings that apply here, each with its source; and the versions."""

import os
import platform
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.input.options import AsJson
from node.cli.input.preferences import PREFERENCES, Chosen, Preference, choose, find_file
from node.cli.output.screen import reader_may_leave, show, table
from node.cli.output.text import plain

if TYPE_CHECKING:
    from rich.console import RenderableType

    from node.settings.description import Setting
    from node.settings.loading import Loaded

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
    """Show every setting of a node with its value and its source, and your own defaults for commands.

    JSON: {setting: {value, source, default, unit, description}}, and `commands` with your defaults in the same form.
    """
    from node.settings.description import describe
    from node.settings.loading import load

    if markdown:
        with reader_may_leave():
            print(markdown_table(describe()))
        return
    loaded = load(file, os.environ, {})
    chosen = choose(os.environ)
    answer: dict[str, Any] = {each.name: _facts(each, loaded) for each in describe()}
    answer["commands"] = {each.name: _facts_of_preference(each, chosen[each.name]) for each in PREFERENCES}
    show(answer, as_json, lambda: _tables(loaded, chosen))


def _facts(setting: "Setting", loaded: "Loaded") -> dict[str, object]:
    return {
        "value": _as_json(getattr(loaded.settings, setting.name)),
        "source": loaded.sources[setting.name],
        "default": _as_json(setting.default),
        "unit": setting.unit,
        "description": setting.description,
    }


def _as_json(value: object) -> object:
    from node.settings.description import spell
    from node.settings.write_tables import tables_of
    from protocol.records.write_policy import WritePolicy

    if isinstance(value, WritePolicy):
        return tables_of(value)
    return spell(value) if isinstance(value, str | Path) else value


def _facts_of_preference(preference: Preference, chosen: Chosen) -> dict[str, object]:
    from node.client.targets import without_password

    value = chosen.value if preference.is_path or chosen.value is None else without_password(chosen.value)
    facts = {"value": value, "source": chosen.source, "default": preference.default}
    return {**facts, "unit": "", "description": preference.description}


def _tables(loaded: "Loaded", chosen: dict[str, Chosen]) -> "RenderableType":
    """A table of the node's settings, and below it a table of the user's own defaults."""
    from rich.console import Group

    from node.settings.description import describe, spell

    settings = [
        (each.name, spell(getattr(loaded.settings, each.name)), each.unit, loaded.sources[each.name], each.description)
        for each in describe()
    ]
    own = [
        (each.name, spell(facts["value"]), facts["source"], each.description)
        for each in PREFERENCES
        for facts in [_facts_of_preference(each, chosen[each.name])]
    ]
    file = find_file(os.environ)
    return Group(
        table(["setting", "~value", "unit", "~source", "~what it is for"], settings),
        "",
        table(["option", "~value", "~source", "~what it is for"], own, title=f"Your own defaults for commands: {file}"),
    )


def version(as_json: AsJson = False) -> None:
    """Show the versions of dnarc, Python and two libraries."""
    answer = {
        "dnarc": version_of("dnarc"),
        "python": platform.python_version(),
        "pynacl": version_of("pynacl"),
        "aiohttp": version_of("aiohttp"),
    }
    words = ", ".join(f"{name} {number}" for name, number in answer.items())
    show(answer, as_json, lambda: plain(words))


def markdown_table(settings: "list[Setting]") -> str:
    """The settings as a table in Markdown, for `docs/operations.md`."""
    from node.settings.description import spell

    variables = {each.name: "" if each.is_table else f"`{each.variable}`" for each in settings}
    rows = [
        f"| `{each.name}` | {variables[each.name]} | `{spell(each.default)}` | {each.unit} | {each.description} |"
        for each in settings
    ]
    return "\n".join(("| setting | variable | default | unit | what it is for |", "|---|---|---|---|---|", *rows))
