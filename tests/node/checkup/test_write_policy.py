"""What the doctor finds about the operator's program."""

import sys

from node.checkup.finding import Level
from node.checkup.write_policy import check_figures, check_program
from node.client.figures import Figures
from node.settings.settings import Settings

JUDGED = """\
dnarc_plugin_records_total{result="accepted"} 5
dnarc_plugin_records_total{result="rejected"} 2
dnarc_plugin_records_total{result="failed"} 0
dnarc_plugin_restarts_total 0
"""


def test_a_node_without_a_program_has_no_findings_about_it() -> None:
    assert list(check_program(Settings())) == []
    assert list(check_figures(Figures.read("dnarc_healthy 1\n"))) == []


def test_a_program_that_is_not_there_fails() -> None:
    found = [*check_program(Settings(write_plugin=["/nowhere/at/all"])), *check_program(Settings(write_plugin=["sh"]))]
    [here] = check_program(Settings(write_plugin=[sys.executable, "plugin.py"]))

    assert [finding.level for finding in found] == [Level.FAIL, Level.OK]
    assert here.level is Level.OK


def test_records_that_were_not_judged_are_a_warning() -> None:
    [well] = check_figures(Figures.read(JUDGED))
    [ill] = check_figures(Figures.read(JUDGED.replace('"failed"} 0', '"failed"} 1')))

    assert (well.level, well.detail) == (Level.OK, "the write plug-in judged all 7 records")
    assert (ill.level, ill.detail) == (
        Level.WARN,
        "the write plug-in judged 7 records, and failed to judge 1; it was started again 0 times",
    )
