"""What is said of a node that runs."""

import pytest

from node.checkup.finding import State
from node.checkup.running import check_figures, check_health, check_states
from node.client.figures import Figures
from node.settings import FILES_BESIDES

WELL = f"""\
process_max_fds {100 + FILES_BESIDES}
process_open_fds 12
dnarc_setting{{name="connections_max"}} 60
dnarc_setting{{name="links_max"}} 40
dnarc_setting{{name="records_in_flight_max"}} 1000
dnarc_in_flight_records 900
dnarc_events_total{{type="accepted"}} 5
"""


def states(text: str) -> dict[str, State]:
    return {finding.check: finding.state for finding in check_figures(Figures.read(text))}


def test_a_node_that_is_well_is_found_well() -> None:
    assert states(WELL) == {"node.files": State.OK, "node.queue": State.OK, "heads": State.OK}


@pytest.mark.parametrize(
    ("was", "now", "check", "state"),
    [
        (f"process_max_fds {100 + FILES_BESIDES}", f"process_max_fds {99 + FILES_BESIDES}", "node.files", State.FAIL),
        ("dnarc_in_flight_records 900", "dnarc_in_flight_records 901", "node.queue", State.WARN),
        ('type="accepted"', 'type="reverted"', "heads", State.WARN),
    ],
)
def test_one_step_past_a_limit_is_found(was: str, now: str, check: str, state: State) -> None:
    assert states(WELL.replace(was, now))[check] is state


def test_problems_fail_and_warnings_warn() -> None:
    found = list(check_health({"status": "failing", "problems": ["full"], "warnings": ["busy"]}))

    assert [(finding.state, finding.detail) for finding in found] == [(State.FAIL, "full"), (State.WARN, "busy")]
    assert [finding.state for finding in check_health({"problems": [], "warnings": []})] == [State.OK]


@pytest.mark.parametrize(
    ("peer", "state", "words"),
    [
        ({"state": "live"}, State.OK, "is live"),
        ({"state": "catching_up"}, State.OK, "is catching up"),
        ({"state": "away"}, State.OK, "is away"),
        ({"state": "behind"}, State.WARN, "does not keep up"),
        ({"state": "failing", "error": "timeout: it is silent", "remedy": "wait"}, State.WARN, "is failing: timeout"),
        ({"state": "refused", "error": "unauthorized", "remedy": "ask"}, State.FAIL, "is refused: unauthorized"),
    ],
)
def test_a_peer_is_found_as_well_as_its_state(peer: dict[str, str], state: State, words: str) -> None:
    (finding,) = check_states([{"url": "ws://peer.example", "key": None, **peer}])

    assert (finding.check, finding.state, finding.remedy is None) == ("peer.state", state, state is State.OK)
    assert finding.detail.startswith("ws://peer.example ")
    assert words in finding.detail


def test_a_node_that_does_not_tell_states_of_peers_is_no_fault() -> None:
    assert list(check_states([{"url": "ws://peer.example", "key": None, "link": None}])) == []
