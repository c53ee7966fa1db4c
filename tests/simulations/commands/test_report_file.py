"""The option `--report` of the commands writes a page, and does not change the answer."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.cli.output.failures import CommandError
from simulations.cli import app
from simulations.commands.report_file import check_report
from tests.simulations.report.test_pages import PLAN, check_whole


def run(*arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert isinstance(answer, dict)
    return answer


def test_a_scenario_with_a_report_gives_the_same_answer_as_without(tmp_path: Path) -> None:
    file = tmp_path / "report.html"

    answer = run("scenario", "rival-founders", "--report", str(file))

    assert answer == run("scenario", "rival-founders")
    page = check_whole(file.read_text())
    assert "Again: dnarc simulate scenario rival-founders --seed 1 --report report.html" in page.text


def test_the_page_of_a_plan_shows_its_faults(tmp_path: Path) -> None:
    plan, file = tmp_path / "plan.json", tmp_path / "report.html"
    plan.write_text(PLAN.as_json())

    run("play", str(plan), "--report", str(file))

    page = check_whole(file.read_text())
    assert "parted for 4.0 s: a" in page.text
    assert '"active_s": 10.0' in page.text


def test_a_crowd_and_the_broadcast_experiments_have_pages(tmp_path: Path) -> None:
    crowd, file = tmp_path / "crowd.html", tmp_path / "broadcast.html"

    CliRunner().invoke(app, ["crowd", "--nodes", "3", "--records", "5", "--report", str(crowd)])
    run("broadcast", "--nodes", "20", "--cycles", "1", "--failed", "0.6", "--report", str(file))

    assert "A crowd of 3" in check_whole(crowd.read_text()).text
    assert "--nodes 20 --seed 1 --seeds 1 --cycles 1 --latency-ms 50 50" in check_whole(file.read_text()).text


def test_a_folder_that_does_not_exist_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(CommandError):
        check_report(tmp_path / "none" / "report.html")
