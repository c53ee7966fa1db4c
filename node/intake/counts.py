"""What intake counts: what became of each record, how long groups waited, and what was committed."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from node.metrics import RECORDS, SECONDS, Histogram
from protocol.errors import Code
from protocol.records.admission import Trust
from protocol.records.change import EventType
from protocol.records.outcome import Outcome, Status
from protocol.records.replay import Verdict

# Python 3.11 needs 0.2 us for a member of an enum, and 0.01 us for a global. Every record comes here.
_ACCEPTED: Final = Status.ACCEPTED


class IntakeCounts:
    """Records by outcome and by the trust of their source, and the seconds that a group of records waited.

    `accepted` counts by replay's verdict, `refused` by the code of the refusal. `verified` counts checked signatures.
    `verification_s` measures the check of a group's signatures, `admission_s` the time from a group's arrival to its
    commit.
    """

    def __init__(self) -> None:
        self.accepted: Counter[tuple[Trust, Verdict]] = Counter()
        self.known: Counter[Trust] = Counter()
        self.refused: Counter[tuple[Trust, Code]] = Counter()
        self.verified = 0
        self.verification_s = Histogram(SECONDS)
        self.admission_s = Histogram(SECONDS)

    def count(self, trust: Trust, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.code is not None:
                self.refused[trust, outcome.code] += 1
            elif outcome.status is _ACCEPTED and outcome.verdict is not None:
                self.accepted[trust, outcome.verdict] += 1
            else:
                self.known[trust] += 1


class CommitCounts:
    """Transactions of the store: their duration, the records in each, and the events that they brought, by type.

    Every type is counted from 0, because Prometheus sees no increase in a series that begins at 1.
    """

    def __init__(self) -> None:
        self.commit_s = Histogram(SECONDS)
        self.commit_records = Histogram(RECORDS)
        self.events: Counter[EventType] = Counter(dict.fromkeys(EventType, 0))
