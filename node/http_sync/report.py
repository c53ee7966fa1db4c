"""A sync run as values: what the caller of `POST /sync/*` asks for, and what the run reports.

Runs over plain HTTP (`node.http_sync`) and runs over a link (`node.links`) take the same job and give the same report.
"""

import msgspec

from node.intake.arrivals import Status
from protocol.link.terms import Flow


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
    `repaired` counts the accepted records that the pass by timestamp had missed. `through` holds the cursor of each
    domain that the run looked at, as a timestamp in seconds. `seconds` is the duration of the run. `error` says why the
    run ended early; None means that it did not.
    """

    records: int = 0
    accepted: int = 0
    known: int = 0
    refused: int = 0
    repaired: int = 0
    through: dict[str, int] = msgspec.field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None

    def count(self, status: str) -> None:
        """Add one record. `status` is a value of `Status`, or any other word for a refusal."""
        if status == Status.ACCEPTED:
            self.accepted += 1
        elif status == Status.KNOWN:
            self.known += 1
        else:
            self.refused += 1
