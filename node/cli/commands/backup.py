"""`dnarc backup`: a copy of a node's data folder, made while the node runs."""

from pathlib import Path
from typing import Annotated

import typer

from node.cli.commands.options import AsJson
from node.cli.output.screen import show
from node.cli.output.text import plain

DataFolder = Annotated[
    Path, typer.Option("--data", envvar="DNARC_DATA", metavar="DIR", help="The data folder to copy.")
]


def backup(
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="The folder to make.", show_default=False)],
    data: DataFolder = Path("data"),
    as_json: AsJson = False,
) -> None:
    """Copy the store, as it is at one moment, and the node's secrets to a new folder. A node may run meanwhile.

    The copy is a data folder: to restore, put it in the place of the old one while no node runs.
    """
    from node.backup import back_up

    records = back_up(data, target)
    answer = {"folder": str(target), "records": records}
    show(answer, as_json, lambda: plain(f"copied {records:,} records to {target}"))
