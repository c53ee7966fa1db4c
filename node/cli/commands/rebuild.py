"""`dnarc rebuild`: derive verdicts, heads, indexes and the last events again from the records, and repair what differs.

No node may use the store. A PostgreSQL database is copied into the folder for that. `node.store.sqlite.rebuilding`
describes which values follow from which.
"""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from node.cli.data_folder import check_folder, held
from node.cli.input.embedded import store_url
from node.cli.input.options import AsJson
from node.cli.output.early_end import explain_interruption
from node.cli.output.failures import CommandError, Exit
from node.cli.output.progress import progress
from node.cli.output.screen import show, table
from node.cli.output.text import plain

if TYPE_CHECKING:
    from rich.console import RenderableType

    from node.store.sqlite.rebuilding import Rebuilt

SHOWN_MAX = 50
"""Differences in the table. JSON has up to 1,000."""

DataFolder = Annotated[
    Path, typer.Option("--data", envvar="DNARC_DATA", metavar="DIR", help="The data folder. No node may run on it.")
]


def rebuild(
    data: DataFolder = Path("data"),
    is_check: Annotated[bool, typer.Option("--check", help="Only compare: write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Derive everything again from the records, compare it with what the store says, and repair what differs.

    A rebuild that is killed leaves the store as it was. Events keep their numbers. For a label whose last event names a
    wrong head, the rebuild adds an event.
    """
    check_folder(data)
    with explain_interruption(lambda: "the store is as it was before", "run the command again"), held(data):
        url = store_url()
        rebuilt = _of_file(data, is_check) if url is None else _of_database(url, data, is_check)
    answer = {"equal": rebuilt.is_equal, "repaired": not (rebuilt.is_equal or is_check)}
    show({**answer, **msgspec.to_builtins(rebuilt)}, as_json, lambda: _summary(rebuilt, is_check))
    if is_check and not rebuilt.is_equal:
        total = rebuilt.counts.total()
        raise CommandError(Exit.REFUSED, "differs", f"{total} derived values differ", "`dnarc rebuild` repairs them")


def _of_file(data: Path, is_check: bool) -> "Rebuilt":
    from node.store.sqlite import rebuilding

    path = data / "dnarc.db"
    with progress("rebuild (records, twice)", rebuilding.count_steps(path)) as advance:
        return rebuilding.rebuild(path, advance, is_check=is_check)


def _of_database(url: str, data: Path, is_check: bool) -> "Rebuilt":
    """The folder has room for a copy of the database, which is rebuilt there."""
    from node.rebuild_database import rebuild_database

    with ExitStack() as stack:
        return asyncio.run(
            rebuild_database(
                url, data, lambda rows: stack.enter_context(progress("rebuild (rows)", rows)), is_check=is_check
            )
        )


def _summary(rebuilt: "Rebuilt", is_check: bool) -> "RenderableType":
    compared = f"{rebuilt.records:,} records, {rebuilt.labels:,} labels, {rebuilt.events:,} events"
    if rebuilt.is_equal:
        return plain(f"equal: {compared}")
    counts = ", ".join(f"{number:,} {what}" for what, number in sorted(rebuilt.counts.items()))
    title = f"{'differs' if is_check else 'repaired'}: {counts}; compared: {compared}"
    shown = rebuilt.differences[:SHOWN_MAX]
    shown = rebuilt.differences[:SHOWN_MAX]
    rows = [(each.what, each.domain, each.label, each.record, each.was, each.now) for each in shown]
    return table(["what", "~domain", "~label", "~record", "~was", "~now"], rows, title=title)
