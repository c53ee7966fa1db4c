"""`dnarc simulate`: many nodes, run from a terminal. Each kind of simulation has a command.

The module of a command imports what it needs when the command runs, so that `dnarc --help` answers at once.
"""

import typer

from simulations.commands.broadcast import broadcast
from simulations.commands.local import local
from simulations.commands.runs import crowd, mutants, play_file, scenario, swarm

app = typer.Typer(help="Run many nodes, and see what a network of them does.", no_args_is_help=True)


@app.callback()
def simulate() -> None:
    """Run many nodes, and see what a network of them does."""


app.command("broadcast")(broadcast)
app.command("swarm")(swarm)
app.command("scenario")(scenario)
app.command("crowd")(crowd)
app.command("mutants")(mutants)
app.command("play")(play_file)
app.command("local")(local)
