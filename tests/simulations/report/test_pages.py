"""The pages are well-formed, make no request, and show the figures of their runs."""

import base64
import hashlib
import json
import re
from functools import partial
from pathlib import Path

import pytest

from simulations.broadcast.comparison import comparison_rows
from simulations.broadcast.experiments import Experiment, run_experiments
from simulations.cast.tie import Tie
from simulations.commands.report_file import RunPlayer
from simulations.processes.local import LocalPlan, LocalResult, held_since
from simulations.report import figures
from simulations.report.broadcast import broadcast_page
from simulations.report.local import local_page
from simulations.report.recorder import Recorder
from simulations.report.run import Run
from simulations.report.runs import most_telling, run_page, swarm_page
from simulations.report.small_broadcast import DRAWN_NODES_MAX
from simulations.run_result import RunResult
from simulations.scenarios import SCENARIOS, perform
from simulations.swarm.plan import Act, Action, Fault, FaultKind, NodePlan, Plan
from simulations.swarm.play import play
from simulations.world.wire import Weather
from tests.simulations.report.reading import Page

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u202e&amp;"

PLAN = Plan(
    "page",
    Weather(),
    nodes=[NodePlan(name) for name in ("a", "b", "c")],
    ties=[Tie("a", "b"), Tie("b", "c")],
    faults=[Fault(FaultKind.PARTED, 4.0, 4.0, ["a"])],
    acts=[
        Act(Action.CLAIM, 1.0, "alice", "a", HOSTILE),
        Act(Action.CLAIM, 5.0, "alice", "a", "garden"),
        Act(Action.CLAIM, 6.5, "bob", "c", "garden"),
    ],
    active_s=10.0,
    settle_s=60.0,
)


@pytest.fixture(scope="module")
def recorded() -> Run:
    recorder = Recorder()
    result = play(PLAN, with_lines=True, watch=recorder.watch)
    return Run(name=HOSTILE, result=result, recorder=recorder, repeat="dnarc simulate play page.json", plan=PLAN)


def check_whole(document: str) -> Page:
    """Check that the document is well-formed, makes no request, and can run no script but ours."""
    page = Page(document)
    assert page.unclosed == []
    assert [it for it in page.links if not it.startswith("#")] == []
    assert page.handlers == []
    assert page.elements["img"] == page.elements["link"] == page.elements["iframe"] == 0
    assert "default-src 'none'" in page.policy
    assert "unsafe" not in page.policy
    style = re.search("<style>(.*?)</style>", document, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    for kind, content in (
        ("style", style[1]),
        ("script", document.rpartition("<script>")[2].partition("</script>")[0]),
    ):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in page.policy
    return page


def test_the_page_of_a_run_holds_the_figures_of_its_outcome(recorded: Run) -> None:
    page = check_whole(run_page([recorded]))

    result = recorded.result
    assert result.is_good, result.violations
    assert f"Machines {result.nodes}" in page.text
    assert f"Records acknowledged {result.records} {result.commits} commits" in page.text
    assert result.digest in page.text
    assert "Again: dnarc simulate play page.json" in page.text
    deliveries = len(PLAN.acts) * (len(PLAN.nodes) - 1)
    assert f"{len(figures.delivery_delays(recorded.recorder).delays_s)} of {deliveries}" in page.text
    assert page.elements["svg"] == len(("lanes", "convergence", "delivery", "spread"))
    assert page.elements["tr"] > len(result.lines)


def test_no_text_of_a_record_becomes_markup(recorded: Run) -> None:
    page = check_whole(run_page([recorded]))

    assert page.elements["script"] == len(("data of the spread", "script of the page"))
    assert "</script><script>alert(1)</script><img src=x onerror=alert(1)>" in page.text
    assert "\u202e" not in page.text
    assert HOSTILE in json.dumps(json.loads(page.data[0]), ensure_ascii=False)


def test_a_run_has_the_same_digest_with_and_without_a_recorder(recorded: Run) -> None:
    assert play(PLAN).digest == recorded.result.digest


def test_the_recorder_shows_when_states_differed_and_how_the_conflict_ended(recorded: Run) -> None:
    recorder = recorded.recorder

    assert {value for _, value in recorder.sets} >= {1, 2}
    assert recorder.sets[-1][1] == recorder.heads[-1][1] == 1
    (conflict,) = figures.conflicts(recorder)
    assert (conflict.label, conflict.owner, conflict.accepted) == ("garden", "alice", 1)
    assert conflict.lost.startswith("bob's ")
    assert "rival" in conflict.lost
    assert {it.machine for it in recorder.reversals} == {"b", "c"}
    assert conflict.taken_back == len({"b", "c"})


def test_a_record_is_followed_from_node_to_node(recorded: Run) -> None:
    spreads = figures.spreads(recorded.recorder)

    hostile = next(it for it in spreads if it.name.startswith(HOSTILE))
    assert [(step.node, step.source) for step in hostile.steps] == [(0, None), (1, 0), (2, 1)]
    assert hostile.steps[0].after_s == 0
    assert hostile.steps[1].after_s < hostile.steps[2].after_s


def test_a_page_of_several_runs_links_from_a_table_to_each_run(recorded: Run) -> None:
    name = "bad-signatures"
    player = RunPlayer(Path("all.html"))
    scenario = SCENARIOS[name]
    player.play(partial(perform, scenario, 1), with_lines=False, name=name, repeat="again", expects=scenario.expects)

    page = check_whole(run_page([recorded, *player.runs]))

    assert page.links == ["#run-0", "#run-1"]
    assert page.elements["article"] == 2
    assert SCENARIOS[name].expects in page.text


def test_the_page_of_a_swarm_shows_failing_runs_first(recorded: Run) -> None:
    good, bad = result("1", violations=[]), result("2", violations=["a lacks <b>everything</b>"])
    results = {it.seed: it for it in (good, bad)}

    page = check_whole(swarm_page(results, {"runs": 2, "failing": 1}, "dnarc simulate swarm --seeds 2", recorded))

    assert most_telling(results.values()) == bad
    assert page.text.index("--start 2 --seeds 1") < page.text.index("--start 1 --seeds 1")
    assert "a lacks <b>everything</b>" in page.text


def test_if_all_runs_hold_the_page_shows_the_slowest_at_length() -> None:
    results = [result("1", [], settled_s=3.0), result("2", [], settled_s=9.0), result("3", [], settled_s=5.0)]

    assert most_telling(results).seed == "2"


def test_the_page_of_broadcasts_shows_the_published_figures_and_three_broadcasts() -> None:
    plan = Experiment(nodes=30, cycles=2, failures=(0.5,), drip_cycles=1)
    reports = [run_experiments(plan)]

    page = check_whole(broadcast_page(plan, reports, comparison_rows(reports), "dnarc simulate broadcast --nodes 30"))

    assert "Broadcast over 30 nodes" in page.text
    assert "flood, published" in page.text
    data = json.loads(page.data[0])
    assert len(data["spreads"]) == 3
    assert len(data["spreads"][0]["steps"]) == len(data["at"]) == DRAWN_NODES_MAX
    assert len({step["node"] for step in data["spreads"][0]["steps"]}) == DRAWN_NODES_MAX


def test_the_page_of_a_local_network_shows_when_each_node_held_the_final_set() -> None:
    result = LocalResult(
        nodes=3,
        links=2,
        acknowledged=80,
        faults=["killed: 1"],
        differing=[(0.0, 3), (0.2, 2), (0.4, 1)],
        seconds=0.4,
        is_one_state=True,
        edges=[(0, 1), (1, 2)],
        agreed_s=[0.0, 0.2, 0.4],
        copies=30,
        news=20,
    )

    plan = LocalPlan(nodes=3, records=80, rounds=1, seed=7)

    page = check_whole(local_page(plan, result, "dnarc simulate local --nodes 3"))

    assert "Redundancy 0.500" in page.text
    assert "killed: 1" in page.text
    assert [it["node"] for it in json.loads(page.data[0])["spreads"][0]["steps"]] == [0, 1, 2]


def test_a_local_network_whose_nodes_never_agreed_has_a_page() -> None:
    result = LocalResult(nodes=2, links=1, lost=["ab"], differing=[(0.0, 2)])

    page = check_whole(local_page(LocalPlan(), result, "again"))

    assert "fails" in page.text
    assert page.data == []


def test_a_node_holds_the_final_set_from_the_last_time_on_that_it_reached_it() -> None:
    seen = [(0.0, ["x", "y"]), (0.1, ["z", "y"]), (0.2, ["z", "z"]), (0.3, ["z", "z"])]

    assert [held_since(seen, place, "z") for place in (0, 1)] == [0.1, 0.2]


def result(seed: str, violations: list[str], settled_s: float = 1.0) -> RunResult:
    return RunResult(
        seed=seed,
        digest="00",
        violations=violations,
        nodes=3,
        records=2,
        commits=6,
        virtual_s=60.0,
        settled_s=[settled_s],
        callbacks=100,
        counts={},
    )
