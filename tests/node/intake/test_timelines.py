"""Timelines stay in memory up to a number of records, and follow what is appended."""

import pytest

from node.intake.timelines import Timelines
from protocol.records.record import Record
from protocol.records.replay import EMPTY, replay
from tests.history import claim
from tests.protocol.records.timelines import timeline_of

KEY = ("example", "garden")


def label(records: int) -> list[Record]:
    return [claim("garden", at=number) for number in range(1, records + 1)]


def test_a_timeline_is_taken_out_once() -> None:
    timelines = Timelines()
    timeline = timeline_of(label(3))
    timelines.put(KEY, timeline)

    taken = [timelines.take(KEY, replay(label(3)).state) for _ in range(2)]

    assert taken == [timeline, None]


def test_a_timeline_follows_the_records_that_are_appended() -> None:
    timelines = Timelines()
    timelines.put(KEY, timeline_of(label(3)))
    record = claim("garden", at=4)
    state, verdict = replay(label(3)).state.extend(record)

    timelines.append(KEY, record, verdict)
    timelines.append(("example", "shed"), record, verdict)
    timeline = timelines.take(KEY, state)

    assert timeline is not None
    assert timeline.state == state


def test_the_timelines_that_were_unused_the_longest_go_first() -> None:
    timelines = Timelines(records_max=10)
    keys = [("example", name) for name in "abc"]
    for key in keys:
        timelines.put(key, timeline_of(label(4)))

    assert [timelines.take(key, replay(label(4)).state) is not None for key in keys] == [False, True, True]


def test_records_that_are_appended_count_too() -> None:
    timelines = Timelines(records_max=10)
    timelines.put(KEY, timeline_of(label(5)))
    record = claim("garden", at=6)
    timelines.append(KEY, record, replay(label(5)).state.judge(record))

    timelines.put(("example", "shed"), timeline_of(label(5)))

    assert len(timelines) == 1


@pytest.mark.parametrize(("records", "is_kept"), [(10, True), (11, False)])
def test_a_timeline_is_kept_up_to_the_limit_and_not_with_one_more_record(records: int, is_kept: bool) -> None:
    timelines = Timelines(records_max=10)
    timelines.put(("example", "shed"), timeline_of([]))

    timelines.put(KEY, timeline_of(label(records)))

    assert (timelines.take(KEY, replay(label(records)).state) is not None) is is_kept
    assert timelines.take(("example", "shed"), EMPTY) is not None
