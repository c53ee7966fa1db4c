"""A sync run as values: what the caller of `POST /sync/*` asks for, what the run reports, and totals over runs.

Runs over plain HTTP (`node.http_sync`) and runs over a link (`node.links`) take the same job and give the same report.
"""

from collections import Counter

import msgspec

from node.peer_state import Outage
from protocol.link.terms import Flow
from protocol.records.outcome import Outcome, Status


class Job(msgspec.Struct, frozen=True):
    """What one run shall do.

    `domain` None means every domain. `is_asked` is True if a caller waits for the run; then the run does all its work
    now. A run that the interval started may put work off.
    """

    direction: Flow
    domain: str | None = None
    is_asked: bool = True


class Report(msgspec.Struct):
    """What one run did.

    `records` counts the records that were transferred; `accepted`, `known` and `refused` add up to that number.
    `refusals` counts the refused records by the code of the refusal, for example `{"too_new": 2}`; for a link since the
    link began, because a link offers a refused record only once.
    `repaired` counts the accepted records that the pass by timestamp had missed. `through` holds the cursor of each
    domain that the run looked at, as a timestamp in seconds. `seconds` is the duration of the run. `error` says why the
    run ended early, and `code` says it for programs; both are None if it did not. `clock_ahead_s` says by how many
    seconds the peer's clock is ahead of this node's; None if the peer did not tell its time. `erased` counts
    the records that this node lacks and the peer does not give, because its operator erased them; each once.
    """

    records: int = 0
    accepted: int = 0
    known: int = 0
    refused: int = 0
    repaired: int = 0
    through: dict[str, int] = msgspec.field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None
    refusals: dict[str, int] = msgspec.field(default_factory=dict)
    clock_ahead_s: float | None = None
    code: str | None = None
    erased: int = 0

    def fail(self, code: str | None, error: str) -> None:
        """Note why the run ends early, or why it leaves out a domain."""
        self.code, self.error = code, error

    def count(self, outcome: Outcome) -> None:
        """Add one record."""
        match outcome.status:
            case Status.ACCEPTED:
                self.accepted += 1
            case Status.KNOWN:
                self.known += 1
            case Status.REFUSED:
                assert outcome.code is not None, "a refusal has a code"
                self.refused += 1
                self.refusals[outcome.code] = self.refusals.get(outcome.code, 0) + 1


class RunTotals:
    """Totals over the plain HTTP runs with one peer in one direction.

    `runs` counts runs by result (`ok` or `failed`), `records` counts records by outcome, and `refusals` the refused
    records by code. `seconds` is the time that all runs took. `succeeded_s` is the time of day when the last run
    without an error ended, None before the first. `error` says why the last run ended early, None if it did not.
    `outage` says since when runs fail.
    """

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self.records: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.repaired = 0
        self.seconds = 0.0
        self.succeeded_s: float | None = None
        self.error: str | None = None
        self.outage = Outage()

    def count(self, report: Report, now_s: float) -> None:
        """Add one run that ended at `now_s`, in seconds since the Unix epoch."""
        self.runs["ok" if report.error is None else "failed"] += 1
        self.records.update(accepted=report.accepted, known=report.known, refused=report.refused)
        self.refusals.update(report.refusals)
        self.repaired += report.repaired
        self.seconds += report.seconds
        self.error = report.error
        if report.error is None:
            self.succeeded_s = now_s
            self.outage.end()
        else:
            self.outage.fail(report.code, report.error, now_s)
