"""What is found about a running node."""

import pytest

from node.checkup.finding import Level
from node.checkup.running import check_figures, check_health, check_states
from node.client.figures import Figures
from node.settings.settings import FILES_BESIDES

WELL = f"""\
process_max_fds {100 + FILES_BESIDES}
process_open_fds 12
dnarc_setting{{name="connections_max"}} 60
dnarc_setting{{name="links_max"}} 40
dnarc_setting{{name="records_in_flight_max"}} 1000
dnarc_in_flight_records 900
dnarc_events_total{{type="accepted"}} 5
"""


def levels(text: str) -> dict[str, Level]:
    return {finding.check: finding.level for finding in check_figures(Figures.read(text))}


def test_all_findings_about_a_healthy_node_are_ok() -> None:
    assert levels(WELL) == {"node.files": Level.OK, "node.queue": Level.OK, "heads": Level.OK}


@pytest.mark.parametrize(
    ("was", "now", "check", "level"),
    [
        (f"process_max_fds {100 + FILES_BESIDES}", f"process_max_fds {99 + FILES_BESIDES}", "node.files", Level.FAIL),
        ("dnarc_in_flight_records 900", "dnarc_in_flight_records 901", "node.queue", Level.WARN),
        ('type="accepted"', 'type="reverted"', "heads", Level.WARN),
    ],
)
def test_one_step_past_a_limit_is_found(was: str, now: str, check: str, level: Level) -> None:
    assert levels(WELL.replace(was, now))[check] is level


def test_problems_fail_and_warnings_warn() -> None:
    found = list(check_health({"status": "failing", "problems": ["full"], "warnings": ["busy"]}))

    assert [(finding.level, finding.detail) for finding in found] == [(Level.FAIL, "full"), (Level.WARN, "busy")]
    assert [finding.level for finding in check_health({"problems": [], "warnings": []})] == [Level.OK]


@pytest.mark.parametrize(
    ("peer", "level", "words"),
    [
        ({"state": "live"}, Level.OK, "is live"),
        ({"state": "catching_up"}, Level.OK, "is catching up"),
        ({"state": "away"}, Level.OK, "is away"),
        ({"state": "behind"}, Level.WARN, "does not keep up"),
        ({"state": "failing", "error": "timeout: it is silent", "remedy": "wait"}, Level.WARN, "is failing: timeout"),
        ({"state": "refused", "error": "unauthorized", "remedy": "ask"}, Level.FAIL, "is refused: unauthorized"),
    ],
)
def test_the_state_of_a_peer_decides_the_level(peer: dict[str, str], level: Level, words: str) -> None:
    (finding,) = check_states([{"url": "ws://peer.example", "key": None, **peer}])

    assert (finding.check, finding.level, finding.remedy is None) == ("peer.state", level, level is Level.OK)
    assert finding.detail.startswith("ws://peer.example ")
    assert words in finding.detail


def test_an_older_node_that_tells_no_states_of_peers_gives_no_finding() -> None:
    assert list(check_states([{"url": "ws://peer.example", "key": None, "link": None}])) == []
