"""The timelines of a few labels, in memory: those that had late records recently.

To read the history of a label with 25,000 records takes 0.1 s. So its timeline stays here for the next late record, and
follows the records that are appended meanwhile.
"""

from collections import OrderedDict
from typing import Final

from node.store.contract import LabelKey
from protocol.records.record import Record
from protocol.records.replay import State, Verdict
from protocol.records.timeline import Timeline

TIMELINES_RECORDS_MAX: Final = 100_000
"""Records of all timelines together: about 47 MB. The timelines that were unused the longest go first."""


class Timelines:
    """Timelines by label. Each is equal to what is decided for its label."""

    def __init__(self, records_max: int = TIMELINES_RECORDS_MAX) -> None:
        self._records_max = records_max
        self._records = 0
        self._by_label: OrderedDict[LabelKey, Timeline] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_label)

    def take(self, key: LabelKey, state: State) -> Timeline | None:
        """Take out the timeline of a label in this state; None: it is not here."""
        timeline = self._by_label.pop(key, None)
        if timeline is None:
            return None
        self._records -= len(timeline)
        assert timeline.newest == state.newest, "a timeline follows what is decided"
        return timeline

    def put(self, key: LabelKey, timeline: Timeline) -> None:
        """Keep this timeline, unless it is larger than all may be together."""
        if len(timeline) > self._records_max:
            return
        self._by_label[key] = timeline
        self._records += len(timeline)
        while self._records > self._records_max:
            _, dropped = self._by_label.popitem(last=False)
            self._records -= len(dropped)

    def append(self, key: LabelKey, record: Record, verdict: Verdict) -> None:
        """A record was decided that is newer than all others of its label."""
        timeline = self._by_label.get(key)
        if timeline is not None:
            timeline.append(record, verdict)
            self._records += 1
