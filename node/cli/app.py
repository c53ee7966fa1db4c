"""The table of commands.

Other packages can add commands. If a package declares an entry point of the group `dnarc.commands` whose object is a
typer app, this app becomes a command with the name of the entry point. `simulations` adds `dnarc simulate` in this way,
so that `node` need not import `simulations`.
"""

import os
from importlib.metadata import entry_points, version
from typing import Annotated, ClassVar, Final

import typer

from node.cli.input import preferences
from node.cli.input.options import AsJsonBefore
from node.cli.lazy_group import CommandPlace, LazyGroup
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


class Commands(LazyGroup):
    """All commands of this package, in the order of the help."""

    places: ClassVar = {
        "serve": CommandPlace("serve:serve", "Run a node."),
        "keygen": CommandPlace("keys:keygen", "Make a signing key."),
        "claim": CommandPlace("claims:claim", "Write a claim: found a label, or update a label that you own."),
        "transfer": CommandPlace("claims:transfer", "Offer a label to another key."),
        "accept": CommandPlace("claims:accept", "Accept a label that is offered to your key."),
        "get": CommandPlace("get:get", "Show the head of a label, or the heads of a domain or a key."),
        "history": CommandPlace("history:history", "Show every record of a label, accepted or refused."),
        "why": CommandPlace("history:why", "Explain why a label belongs to its owner."),
        "domains": CommandPlace("domains:domains", "Show the domains of a node."),
        "sync": CommandPlace("peers:sync", "Sync with the peers now."),
        "export": CommandPlace("export:export", "Write every record of a node to a file."),
        "import": CommandPlace("import_records:import_", "Give the records in a file to a node."),
        "proof": CommandPlace("proof:proof", "Save the proof that a record is final."),
        "verify": CommandPlace("verify:verify", "Check the claims in a file, without a node."),
        "watch": CommandPlace("watch:watch", "Show accepted and reverted records as they happen."),
        "top": CommandPlace("top:top", "Watch a node: rates, queues, peers, the newest records."),
        "doctor": CommandPlace("doctor:doctor", "Find what is wrong with a node, and say what to do."),
        "backup": CommandPlace("backup:backup", "Copy the data folder of a node while the node runs."),
        "move": CommandPlace("move:move", "Move a node's records to a PostgreSQL database, or back."),
        "erase": CommandPlace("removals:erase", "Erase the bodies of records on a node, and show what was erased."),
        "drop": CommandPlace("removals:drop", "Forget a whole domain on a node, and do not keep it any more."),
        "rebuild": CommandPlace("rebuild:rebuild", "Derive everything again from the records, and repair the store."),
        "config": CommandPlace("config:config", "Show every setting with its value and its source."),
        "version": CommandPlace("config:version", "Show the versions of dnarc and its libraries."),
        "plugin": CommandPlace("plugin:app", "Try rules of who may write before they are switched on."),
        "peers": CommandPlace("peers:app", "Show and change the peers that a node syncs with."),
        "witness": CommandPlace("witness:app", "Make domains with witnesses, and show them."),
    }


app = typer.Typer(
    name="dnarc",
    cls=Commands,
    help="A peer-to-peer gossip node for signed claims.",
    epilog=f"{EXIT_CODES}\n\n{CONFIGURATION}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # for this page only: rich takes twice as long to import as all else that it needs
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def before(context: typer.Context, as_json: AsJsonBefore = False, _version: Version = False) -> None:
    """A peer-to-peer gossip node for signed claims."""
    context.obj = as_json
    name = context.invoked_subcommand
    if name is not None and isinstance(context.command, LazyGroup):
        command = context.command.commands[name]
        context.default_map = {name: preferences.find_defaults(command, os.environ)}


for point in entry_points(group=GROUP):
    try:
        app.add_typer(point.load(), name=point.name)
    except ImportError as error:  # another package that lacks a library must not end every command
        warn(f"`dnarc {point.name}` is missing: {error}")
