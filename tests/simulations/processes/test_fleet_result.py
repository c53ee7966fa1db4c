"""The result of a fleet under blows: each promise that is broken is named, so that no run passes by mistake."""

from dataclasses import replace
from typing import Any

import pytest

from simulations.processes.fleet_load import Reader
from simulations.processes.fleet_result import Blow, FleetPlan, FleetResult, Takeover

PLAN = FleetPlan(claims=10, kills=1, pauses=1)
GOOD = FleetResult(
    acknowledged=12,
    events=12,
    connections=2,
    takeovers=[Takeover(Blow.KILL, "one", "two", 2, 0.1, 0.2), Takeover(Blow.PAUSE, "two", "one", 3, 6.0, 6.1)],
    terms=[1, 2, 3],
)


def test_a_run_that_kept_all_promises_breaks_none() -> None:
    assert GOOD.broken(PLAN) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stuck": "no process took over after 60 s"}, "no process took over after 60 s"),
        ({"acknowledged": 9}, "9 of 10 claims are acknowledged"),
        ({"lost": ["00"]}, "1 acknowledged claims are lost"),
        ({"events": 11}, "1 claims are missing in the stream"),
        ({"skipped": 1}, "the stream skipped 1 events"),
        ({"doubled": 1}, "the stream brought 1 events twice"),
        ({"takeovers": GOOD.takeovers[:1]}, "1 of 2 times another process took over"),
        ({"terms": [1, 2, 3, 2, 3]}, "1 times a commit of an older term follows one of a newer term"),
        ({"terms": [1, 3]}, "the commits are of 2 terms, for 2 takeovers"),
    ],
)
def test_each_broken_promise_is_named(change: dict[str, Any], words: str) -> None:
    assert replace(GOOD, **change).broken(PLAN) == [words]


def test_a_doubled_event_does_not_hide_a_skipped_one() -> None:
    reader = Reader([])

    for seq in (1, 2, 2, 4, None):
        reader.note(seq, f"record-{seq}")

    assert (reader.skipped, reader.doubled, reader.ids) == (1, 1, {"record-1", "record-2", "record-4"})
