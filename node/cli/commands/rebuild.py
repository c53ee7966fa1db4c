"""`dnarc rebuild`: derive verdicts, heads, indexes and the last events again from the records, and repair what differs.

No node may run on the folder. `node.store.sqlite.rebuilding` describes which values follow from which.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from node.cli.data_folder import held
from node.cli.input.embedded import check_embedded
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
    from node.store.sqlite import rebuilding

    check_embedded("`dnarc export` and `dnarc verify` show whether the records are whole")
    path = data / "dnarc.db"
    if not path.exists():
        raise CommandError(Exit.USAGE, "usage", f"{data} is no data folder of a node", "name it by --data DIR")
    with (
        explain_interruption(lambda: "the store is as it was before", "run the command again"),
        held(data),
        progress("rebuild (records, twice)", rebuilding.count_steps(path)) as advance,
    ):
        rebuilt = rebuilding.rebuild(path, advance, is_check=is_check)
    answer = {"equal": rebuilt.is_equal, "repaired": not (rebuilt.is_equal or is_check)}
    show({**answer, **msgspec.to_builtins(rebuilt)}, as_json, lambda: _summary(rebuilt, is_check))
    if is_check and not rebuilt.is_equal:
        total = rebuilt.counts.total()
        raise CommandError(Exit.REFUSED, "differs", f"{total} derived values differ", "`dnarc rebuild` repairs them")


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
