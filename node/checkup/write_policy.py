"""Who may write: whether the operator's program can be started, and whether it judges what it is asked."""

import shutil
from collections.abc import Iterator

from node.checkup.finding import Finding, fail, ok, warn
from node.client.figures import Figures
from node.settings.settings import Settings

_RESULTS = ("accepted", "rejected", "failed")
_TRY = "`dnarc plugin test` plays records through it, and shows what it answers"


def check_program(settings: Settings) -> Iterator[Finding]:
    """Check that the program can be started, before a node tries."""
    command = settings.write_plugin
    if command is None:
        return
    if shutil.which(command[0]) is None:
        detail = f"the program of write_plugin, {command[0]}, is not there or may not be run: no node starts with it"
        yield fail("write_plugin", detail, "correct the setting write_plugin, or take it out")
    else:
        yield ok("write_plugin", f"{command[0]} is there; {_TRY}")


def check_figures(figures: Figures) -> Iterator[Finding]:
    """Check what `GET /metrics` shows of the program. A node without one shows nothing."""
    counts = {result: figures.value("dnarc_plugin_records_total", result=result) for result in _RESULTS}
    judged, failed = (counts["accepted"] or 0) + (counts["rejected"] or 0), counts["failed"]
    if failed is None:
        return
    if failed:
        restarts = figures.value("dnarc_plugin_restarts_total") or 0
        detail = (
            f"the write plug-in judged {judged:.0f} records, and failed to judge {failed:.0f}; it was started again "
            f"{restarts:.0f} times"
        )
        yield warn("write_plugin", detail, f"the log of the node says why; {_TRY}")
    else:
        yield ok("write_plugin", f"the write plug-in judged all {judged:.0f} records")
