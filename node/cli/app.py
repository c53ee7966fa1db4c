"""The table of commands.

Other packages can add commands. If a package declares an entry point of the group `dnarc.commands` whose object is a
typer app, this app becomes a command with the name of the entry point. `simulations` adds `dnarc simulate` in this way,
so that `node` need not import `simulations`.
"""

import os
from collections.abc import Callable
from importlib.metadata import entry_points, version
from typing import Annotated, Final

import typer
from typer.core import TyperGroup

from node.cli.commands import (
    backup,
    claims,
    config,
    doctor,
    domains,
    export,
    get,
    history,
    import_records,
    keys,
    peers,
    preferences,
    proof,
    rebuild,
    serve,
    top,
    verify,
    watch,
    witness,
)
from node.cli.commands.examples import epilog_of
from node.cli.commands.options import AsJsonBefore
from node.cli.output.screen import warn

GROUP: Final = "dnarc.commands"

EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 refused, or bad; 2 wrong use; 3 no node answers; 4 the machine failed; 130 interrupted."
)
CONFIGURATION: Final = (
    "Your own defaults for --node, --key and --tls-ca: ~/.config/dnarc/config.toml, shown by `dnarc config`."
)


def show_version(is_asked: bool) -> None:
    """Print the version and end, if `--version` is among the arguments."""
    if is_asked:
        typer.echo(f"dnarc {version('dnarc')}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", "-V", is_eager=True, callback=show_version, help="Show the version of dnarc and exit."),
]


app = typer.Typer(
    name="dnarc",
    help="A peer-to-peer gossip node for signed claims.",
    epilog=f"{EXIT_CODES}\n\n{CONFIGURATION}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def before(context: typer.Context, as_json: AsJsonBefore = False, _version: Version = False) -> None:
    """A peer-to-peer gossip node for signed claims."""
    context.obj = as_json
    name = context.invoked_subcommand
    if name is not None and isinstance(context.command, TyperGroup):
        command = context.command.commands[name]
        context.default_map = {name: preferences.find_defaults(command, os.environ)}


_COMMANDS: Final[tuple[tuple[str, Callable[..., None]], ...]] = (
    ("serve", serve.serve),
    ("keygen", keys.keygen),
    ("claim", claims.claim),
    ("transfer", claims.transfer),
    ("accept", claims.accept),
    ("get", get.get),
    ("history", history.history),
    ("why", history.why),
    ("domains", domains.domains),
    ("sync", peers.sync),
    ("export", export.export),
    ("import", import_records.import_),
    ("proof", proof.proof),
    ("verify", verify.verify),
    ("watch", watch.watch),
    ("top", top.top),
    ("doctor", doctor.doctor),
    ("backup", backup.backup),
    ("rebuild", rebuild.rebuild),
    ("config", config.config),
    ("version", config.version),
)

for name, command in _COMMANDS:
    app.command(name, epilog=epilog_of(name))(command)
app.add_typer(peers.app, name="peers")
app.add_typer(witness.app, name="witness")

for point in entry_points(group=GROUP):
    try:
        app.add_typer(point.load(), name=point.name)
    except ImportError as error:  # another package that lacks a library must not end every command
        warn(f"`dnarc {point.name}` is missing: {error}")
