"""The table of commands: each module brings its own, and packages besides `node` bring theirs by entry points.

A package that declares an entry point of the group `dnarc.commands`, whose object is a typer app, gets a command of
that name: so `dnarc simulate` exists without `node` knowing of `simulations`.
"""

from importlib.metadata import entry_points
from typing import Final

import typer

from node.cli import (
    claims,
    config,
    doctor,
    exporting,
    importing,
    keys,
    peers,
    queries,
    rebuild,
    serve,
    top,
    verify,
    watch,
)
from node.cli.options import AsJsonBefore
from node.cli.screen import warn

GROUP: Final = "dnarc.commands"

app = typer.Typer(
    name="dnarc",
    help="A peer-to-peer gossip node for signed claims.",
    epilog="Exit codes: 0 done; 1 refused, or bad; 2 wrong use; 3 no node answers; 4 the machine failed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def before(context: typer.Context, as_json: AsJsonBefore = False) -> None:
    """A peer-to-peer gossip node for signed claims."""
    context.obj = as_json


app.command("serve")(serve.serve)
app.command("keygen")(keys.keygen)
app.command("claim")(claims.claim)
app.command("transfer")(claims.transfer)
app.command("accept")(claims.accept)
app.command("get")(queries.get)
app.command("history")(queries.history)
app.command("why")(queries.why)
app.command("domains")(queries.domains)
app.command("watch")(watch.watch)
app.add_typer(peers.app, name="peers")
app.command("sync")(peers.sync)
app.command("export")(exporting.export)
app.command("import")(importing.import_)
app.command("verify")(verify.verify)
app.command("top")(top.top)
app.command("doctor")(doctor.doctor)
app.command("rebuild")(rebuild.rebuild)
app.command("config")(config.config)
app.command("version")(config.version)

for point in entry_points(group=GROUP):
    try:
        app.add_typer(point.load(), name=point.name)
    except ImportError as error:  # a package without what it needs takes no other command away
        warn(f"`dnarc {point.name}` is missing: {error}")
