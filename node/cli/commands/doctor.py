"""`dnarc doctor`: find what is wrong with a node, and say what to do.

The doctor examines the node that answers, the data folder if the user names one, and the settings with which a node
would start here. It changes nothing.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from node.cli.commands.config import Config
from node.cli.data_folder import check_folder
from node.cli.input.options import DEFAULT_NODE, AsJson, Authority, NodeUrl, Token, connect
from node.cli.output.failures import CommandError, Exit
from node.cli.output.progress import working
from node.cli.output.screen import show, table
from node.cli.output.text import plain

if TYPE_CHECKING:
    from rich.console import RenderableType

    from node.checkup.finding import Finding

Folder = Annotated[
    Path | None, typer.Option("--data", envvar="DNARC_DATA", metavar="DIR", help="Examine this data folder too.")
]

STYLES: Final = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    data: Folder = None,
    token: Token = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Examine a node, its folder, its clock and its peers, and say what to do about each fault.

    Ends with 1 if a check fails. Warnings alone end with 0. With --data DIR, it works without a running node too.
    """
    from node.checkup.examination import examine
    from node.checkup.finding import Level, worst
    from node.settings.loading import load

    settings = load(config, os.environ, {"tls_ca": None if tls_ca is None else str(tls_ca)}).settings
    if data is not None and settings.store is None:
        check_folder(data)
    connect(node, tls_ca)  # so that a wrong URL or authority is wrong usage; this opens no connection yet
    with working("examining the node"):
        findings = list(examine(node, data, settings, token))
    level = worst(findings)
    show({"state": level, "findings": findings}, as_json, lambda: _table(findings))
    if level is Level.FAIL:
        failed = sorted({finding.check for finding in findings if finding.level is Level.FAIL})
        raise CommandError(Exit.REFUSED, "unwell", ", ".join(failed), "each finding says what to do")


def _table(findings: "list[Finding]") -> "RenderableType":
    """The findings. Each remedy stands under its finding."""
    rows = []
    for finding in findings:
        seen = plain(finding.detail)
        if finding.remedy is not None:
            seen.append("\n-> ").append_text(plain(finding.remedy))
        rows.append((plain(finding.level, STYLES[finding.level]), finding.check, seen))
    return table(["state", "check", "~finding, and what to do"], rows)
