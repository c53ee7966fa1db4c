"""`dnarc plugin test`: what the rules and the program of the settings would have done with records that there are."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from node.cli.commands.config import Config
from node.cli.data_folder import check_folder
from node.cli.input.embedded import check_embedded
from node.cli.input.entries import entry_of, read_lines
from node.cli.input.options import AsJson
from node.cli.output.examples import epilog_of
from node.cli.output.failures import CommandError, Exit, unreadable, usage
from node.cli.output.progress import progress
from node.cli.output.screen import show, table
from node.cli.output.text import plain, short

if TYPE_CHECKING:
    from rich.console import RenderableType

    from node.settings.settings import Settings
    from node.write_plugin.trial import Trial
    from protocol.records.record import Record

FLUSH_S_MAX: Final = 1.0
"""Seconds to wait for the reader of stderr, which gets what the program writes to its own."""

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:  # without it, typer would take the only command of the group for the group
    """Who may write: try the rules and the program of the settings."""


@app.command("test", epilog=epilog_of("plugin test"))
def try_policy(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="Records as `dnarc export` writes them; - for stdin.", show_default=False),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Play the records of this data folder instead.")
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Play records through the write tables and the write_plugin of the settings, and count what they refuse.

    Every record is treated as if a client brought it. Nothing is stored, and a node may run on the folder meanwhile.
    The exit code is 1 if the program fails.
    """
    from node.console import log
    from node.settings.loading import load
    from node.write_plugin.trial import Trial

    if (file is None) == (data is None):
        raise usage("name either a FILE of records or a data folder by --data")
    settings = load(config, os.environ, {}).settings
    if settings.write.is_open and settings.write_plugin is None:
        raise usage("the settings have neither a table [write] nor a write_plugin", "name their file by --config FILE")
    trial = Trial()
    log.configure(settings.log_format, sys.stderr)
    records, total = _stored(data) if data is not None else (_of_file(file), None)
    try:
        asyncio.run(_play(records, total, settings, trial))
    finally:
        log.close(FLUSH_S_MAX)
    show(_as_json(trial), as_json, lambda: _summary(trial))
    if trial.fault is not None:
        raise CommandError(Exit.REFUSED, "plugin", f"the program failed: {trial.fault}", "its stderr stands above")


async def _play(records: "Iterator[Record]", total: int | None, settings: "Settings", trial: "Trial") -> None:
    from node.write_plugin.trial import play

    try:
        with progress("plugin test (records)", total) as advance:
            async for count in play(records, settings, trial):
                advance(count)
    except OSError as error:
        command = (settings.write_plugin or [""])[0]
        detail = f"the program of write_plugin, {command}, cannot be started: {error.strerror or error}"
        raise CommandError(Exit.MACHINE, "cannot_start", detail, "correct the setting write_plugin") from error


def _stored(data: Path) -> "tuple[Iterator[Record], int]":
    from node.store.sqlite import inspection

    check_embedded("`dnarc export FILE` writes the records of a node, and `dnarc plugin test FILE` plays them")
    check_folder(data)
    path = data / "dnarc.db"
    return inspection.records_in_order(path), inspection.count_records(path)


def _of_file(file: Path | None) -> "Iterator[Record]":
    """The records in the lines of a file, in their order.

    Raises:
        CommandError: the file cannot be read, or a line holds no record.
    """
    from protocol.errors import ProtocolError
    from protocol.records.record import decode

    assert file is not None, "the command names a file or a folder"
    number = 0
    try:
        with nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb") as source:
            for line in read_lines(source):
                number = line.number
                if not line.is_blank:
                    yield decode(bytes(entry_of(line).record))
    except ProtocolError as error:
        raise CommandError(Exit.REFUSED, error.code, f"line {number}: {error.detail}") from error
    except OSError as error:
        raise unreadable(file, error) from error


def _as_json(trial: "Trial") -> dict[str, Any]:
    reasons = [{"rule": rule, "message": said, "count": count} for (rule, said), count in trial.reasons.most_common()]
    return {
        "accepted": trial.accepted,
        "refused": trial.refused,
        "not_asked": trial.not_asked,
        "reasons": reasons,
        "examples": trial.examples,
        "fault": trial.fault,
    }


def _summary(trial: "Trial") -> "RenderableType":
    from rich.console import Group

    title = f"{trial.accepted:,} taken, {trial.refused:,} refused, {trial.not_asked:,} of witnesses always taken"
    if not trial.refused:
        return plain(title)
    counts = [(rule, message or "", f"{count:,}") for (rule, message), count in trial.reasons.most_common()]
    examples = [(it.domain, it.label, short(it.signedby), it.rule, it.message or "") for it in trial.examples]
    return Group(
        table(["refused by", "~what the client is told", "#records"], counts, title=title),
        "",
        table(["~domain", "~label", "signed by", "refused by", "~message"], examples, title="For example"),
    )
