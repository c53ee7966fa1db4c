"""`dnarc backup`: copy the data folder of a node while the node runs."""

from pathlib import Path
from typing import Annotated

import typer

from node.cli.data_folder import check_folder
from node.cli.input.embedded import store_url
from node.cli.input.options import AsJson
from node.cli.output.early_end import explain_interruption
from node.cli.output.failures import usage
from node.cli.output.progress import working
from node.cli.output.screen import show
from node.cli.output.text import many, plain

DataFolder = Annotated[
    Path, typer.Option("--data", envvar="DNARC_DATA", metavar="DIR", help="The data folder to copy.")
]


def backup(
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="The new folder for the copy.", show_default=False)],
    data: DataFolder = Path("data"),
    as_json: AsJson = False,
) -> None:
    """Copy the store, as it is at one moment, and the node's secrets to a new folder. The node may run.

    The copy is a data folder. To restore it, stop the node and put the copy in the place of the old folder.
    """
    from node.backup import back_up, dump_command

    url = store_url()
    if url is not None:
        detail = "the records are in PostgreSQL, which makes a backup beside a running node by itself"
        raise usage(detail, f"`{dump_command(url, str(target))}`, and copy node.key and admin-token of the data folder")
    check_folder(data)
    explained = explain_interruption(lambda: f"{target} was not made", "run the command again")
    with explained, working(f"copying {data} to {target}"):
        records = back_up(data, target)
    answer = {"folder": str(target), "records": records}
    show(answer, as_json, lambda: plain(f"copied {many(records, 'record')} to {target}"))
