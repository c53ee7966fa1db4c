"""A group of commands that imports each command only when it is used.

The help of the group needs one sentence about each command, and a command that runs needs no other command. So the
group has these sentences in a table, and imports the module of a command when somebody runs it or asks for its help.
"""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, Final, NamedTuple

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from node.cli.output.examples import epilog_of

COMMANDS: Final = "node.cli.commands"

Command = TyperCommand | TyperGroup


class CommandPlace(NamedTuple):
    """Where a command is, and what it does in one sentence.

    `target` is `module:name`. The module is one of `node.cli.commands`, the name that of a function or a typer app.
    """

    target: str
    summary: str


class Stub(TyperCommand):
    """A command in the group's help that is not imported yet."""

    def __init__(self, name: str, place: CommandPlace) -> None:
        super().__init__(name=name, help=place.summary)
        self.place = place


class LazyGroup(TyperGroup):
    """A group whose commands are stubs until they are used. A subclass names its commands in `places`."""

    places: ClassVar[Mapping[str, CommandPlace]] = {}

    def __init__(self, *, commands: Mapping[str, Any], **attributes: Any) -> None:
        stubs = {name: Stub(name, place) for name, place in self.places.items()}
        super().__init__(commands={**stubs, **commands}, **attributes)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the arguments name, as typer asks for it before the command runs."""
        self.load(args[0])
        resolved = super().resolve_command(ctx, args)
        prepare_help(resolved[1], ctx)
        return resolved

    def load(self, name: str) -> None:
        """Replace the stub of this name by the command. An unknown name changes nothing."""
        stub = self.commands.get(name)
        if isinstance(stub, Stub):
            self.commands[name] = load_command(name, stub.place)


def prepare_help(command: Any, context: Any) -> None:
    """Give the help of a command and of its own commands one form, with whole sentences that fill the terminal.

    rich keeps most line breaks of a docstring, so each paragraph becomes one line. No parameter shows a type of Python,
    such as `<bool>`: a flag takes no value, and the name of an argument says what it is.
    """
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    command.help = "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)
    command.rich_markup_mode = "rich"
    for parameter in command.get_params(context):
        if parameter.param_type_name == "argument" or parameter.is_flag:
            parameter.display_type_rich = _no_type
        elif parameter.metavar is None and parameter.type_descriptor.is_ranged:
            parameter.metavar = "NUMBER"
    for inner in getattr(command, "commands", {}).values():
        prepare_help(inner, context)


def _no_type(ctx: Any) -> None:
    """What typer shows as the type of a parameter: nothing."""


def load_command(name: str, place: CommandPlace) -> Command:
    """Import the command at this place."""
    module, _, attribute = place.target.partition(":")
    target = getattr(import_module(f"{COMMANDS}.{module}"), attribute)
    if isinstance(target, typer.Typer):
        group = typer.main.get_group(target)
        group.name = name
        return group
    app = typer.Typer(add_completion=False)
    app.command(name, epilog=epilog_of(name))(target)
    command = typer.main.get_command(app)
    assert isinstance(command, TyperCommand), "an app with one command is that command"
    return command
