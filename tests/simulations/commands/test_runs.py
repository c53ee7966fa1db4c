"""The commands that play runs: their answers and their exit codes."""

import json
from pathlib import Path

from typer.testing import CliRunner

from simulations.cast.tie import Tie
from simulations.cli import app
from simulations.scenarios import SCENARIOS
from simulations.swarm.draw_council import witnessed_seeds
from simulations.swarm.found import FOUND
from simulations.swarm.plan import Act, Action, NodePlan, Plan
from simulations.world.wire import Weather


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout


def test_all_scenarios_are_listed_with_what_they_expect() -> None:
    code, said = run("scenario", "--list", "--json")

    assert code == 0
    assert json.loads(said) == {it.name: it.expects for it in SCENARIOS.values()}


def test_a_scenario_shows_its_timeline() -> None:
    code, said = run("scenario", "rival-founders", "--timeline")

    assert code == 0
    assert "alice      accepted" in said
    assert any(line.split()[1:2] == ["holds"] for line in said.splitlines())


def test_a_scenario_that_does_not_exist_is_refused() -> None:
    result = CliRunner().invoke(app, ["scenario", "nothing"])

    assert "no scenario is called nothing" in str(result.exception)


def test_a_swarm_counts_failing_runs() -> None:
    code, said = run("swarm", "--seeds", "1", "--start", "28", "--json")

    assert code == 0
    assert json.loads(said)["failing"] == 0


def test_the_seeds_that_once_found_a_fault_are_played_alone() -> None:
    code, said = run("swarm", "--found", "--seconds", "1", "--timeline", "--json")

    played = list(map(int, json.loads(said)["outcomes"]))
    assert (code, played) == (0, list(FOUND[: len(played)]))
    assert played


def test_a_swarm_that_ends_early_says_with_which_seed_to_go_on() -> None:
    code, said = run("swarm", "--witnessed", "--seeds", "1", "--start", "20", "--json")

    assert code == 0
    assert json.loads(said)["next seed"] == next(witnessed_seeds(20, 1)) + 1


def test_figures_and_outcomes_are_one_json_value() -> None:
    code, said = run("crowd", "--nodes", "2", "--records", "1", "--json")

    answer = json.loads(said)
    assert code == 0
    assert answer["runs"] == 1
    assert answer["outcomes"]["crowd 1"]["faults"] == []


def test_a_plan_that_fails_ends_with_code_1_and_shows_the_command_that_repeats_it(tmp_path: Path) -> None:
    """The plan fails because its nodes sync every 1,000 seconds and get no time to agree."""
    nodes = [NodePlan(name, settings={"sync_interval": 1_000.0}) for name in "ab"]
    acts = [Act(Action.CLAIM, 5.0, "alice", "a", "one")]
    ties = [Tie("a", "b", scheme="http")]
    plan = Plan("late", Weather(), nodes, ties, faults=[], acts=acts, active_s=6.0, settle_s=0.0)
    file = tmp_path / "plan.json"
    file.write_text(plan.as_json())

    code, said = run("play", str(file))

    assert code == 1
    assert "b lacks 1 records of example.org that a holds" in said
    assert "again: dnarc simulate play" in said
