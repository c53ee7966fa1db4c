"""Timelines for tests."""

from collections.abc import Iterable

from protocol.records.record import Record
from protocol.records.replay import replay
from protocol.records.timeline import Timeline
from protocol.steps import finish


def timeline_of(history: Iterable[Record]) -> Timeline:
    """The timeline of these records, which may come in any order."""
    judged = replay(history).judged
    return finish(Timeline.of((each.record, each.verdict) for each in judged))
