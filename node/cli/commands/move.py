"""`dnarc move`: move the store of a node from its data folder to a PostgreSQL database, or back."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from node.cli.data_folder import held
from node.cli.input.options import AsJson
from node.cli.output.early_end import explain_interruption
from node.cli.output.failures import usage
from node.cli.output.progress import progress
from node.cli.output.screen import show, table
from node.cli.output.text import plain

if TYPE_CHECKING:
    from rich.console import RenderableType

    from node.move import Moved
    from node.store.moving import NewRows, Rows

Folder = Annotated[Path, typer.Option("--data", envvar="DNARC_DATA", metavar="DIR", help="The data folder.")]
ToDatabase = Annotated[
    str | None, typer.Option("--to", metavar="URL", help="The PostgreSQL database that gets what the folder holds.")
]
FromDatabase = Annotated[
    str | None, typer.Option("--from", metavar="URL", help="The PostgreSQL database whose store the folder gets.")
]

STREAMS: Final = "clients that go on with a position in a stream of the old store get 410, and have to read all again"


def move(
    data: Folder = Path("data"),
    to: ToDatabase = None,
    from_: FromDatabase = None,
    as_json: AsJson = False,
) -> None:
    """Move all that a node holds to a PostgreSQL database (--to URL), or from there back to its folder (--from URL).

    The node's key and its admin token move too. No node may use either store meanwhile. The old store stays as it is.

    A move that is interrupted leaves nothing on which a node would start: run the same command again.

    The password of the URL may also come from PGPASSWORD.
    """
    if (to is None) == (from_ is None):
        raise usage("name either a database to move --to, or one to move --from")
    _check_url(to or from_ or "")
    if to is not None:
        _check_file(data)
        _check_no_witness(data)
    place = "the database" if to is not None else str(data)
    with explain_interruption(lambda: f"{place} has no store yet", "run the command again"), held(data):
        moved = asyncio.run(_move(data, to, from_))
    answer = {"counts": moved.counts, "digest": moved.digest, "streams": STREAMS}
    show(answer, as_json, lambda: _summary(moved, data, to))


def _check_url(url: str) -> None:
    from node.passwords import hidden

    if not url.startswith(("postgresql://", "postgres://")):
        raise usage(f"{hidden(url)} is no URL such as postgresql://user@host/database")


def _check_file(data: Path) -> None:
    if not (data / "dnarc.db").exists():
        raise usage(f"{data} has no store that could move", "name the data folder of a node by --data DIR")


def _check_no_witness(data: Path) -> None:
    """A witness stays on SQLite, because a fleet whose writer changes could vote twice."""
    from node.witness.newest import FOLDER

    files = sorted((data / FOLDER).glob("*.json"))
    if files:
        raise usage(
            f"the node of {data} is a witness of {files[0].stem}, and a witness keeps its records in its folder",
            f"let it run as it is, and list it as a peer of a new node; if it witnesses no more, delete {files[0]}",
        )


async def _move(data: Path, to: str | None, from_: str | None) -> "Moved":
    from node import move

    if to is not None:
        async with move.rows_of_folder(data) as source, move.new_database(to) as target:
            await move.give_secrets(data, target)
            return await _copy(source, target)
    assert from_ is not None, "the command names one of both"
    async with move.rows_of_database(from_) as source:
        await move.take_secrets(source, data)
        async with move.new_folder(data) as target:
            return await _copy(source, target)


async def _copy(source: "Rows", target: "NewRows") -> "Moved":
    from node import move

    with ExitStack() as stack:
        return await move.move(source, target, lambda rows: stack.enter_context(progress("move (rows)", rows)))


def _summary(moved: "Moved", data: Path, to: str | None) -> "RenderableType":
    from rich.console import Group

    rows = [(name, f"{count:,}") for name, count in moved.counts.items() if count]
    start = f"dnarc serve --data {data}" + ("" if to is None else " --store URL")
    same = f"both stores have the same ids and verdicts: sha256 {moved.digest}"
    return Group(table(["what", "#moved"], rows), *map(plain, (same, STREAMS, f"start the node: {start}")))
