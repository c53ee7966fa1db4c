"""Incoming: what becomes of the records that a link brings.

The records of one frame go through the pipeline, and each gets an outcome. A record whose timestamp is too far ahead of
the clock is refused, and the link asks for it again when its time has come. Cursors stay below such a record, and a
repair would also find it, but a link may last for days, and the next repair may be minutes away. The link remembers few
such ids, because the clock of an honest peer is seldom so far ahead. Cursors and repairs find the records it forgets.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from node.intake.arrivals import Delivery, Origin, Submission
from node.intake.ingest import Ingest
from node.links.alarm import Alarm
from protocol.errors import TRANSIENT, Code, ProtocolError
from protocol.limits import IDS_MAX
from protocol.link.messages import Item
from protocol.records.outcome import Outcome, Status

POSTPONED_MAX: Final = 4 * IDS_MAX
"""Ids of one link: about half a megabyte. A peer accepts requests for more ids than this at once."""

_WAIT_S_MAX: Final = 60.0
"""Seconds between two looks at the wall clock. Somebody may set the wall clock, and the loop's clock does not follow.
The limit also keeps a timer from being years away."""

# Python 3.11 needs 0.2 us for a member of an enum, and 0.01 us for a global. Every record needs both.
_TOO_NEW: Final = Code.TOO_NEW
_KNOWN: Final = Status.KNOWN


class Postponed:
    """The ids that one link asks for later, because their records came too early."""

    def __init__(self, max_skew_s: int, now_s: Callable[[], float], ask: Callable[[Sequence[str]], None]) -> None:
        """`max_skew_s` is how far ahead of the wall clock a record may be, in seconds. `now_s` is the wall clock, in
        seconds since the Unix epoch. `ask` asks the peer for at most `IDS_MAX` ids.
        """
        self._max_skew_s = max_skew_s
        self._now_s = now_s
        self._ask = ask
        self._due_s: dict[str, int] = {}
        self._alarm = Alarm(self._on_time)

    def put(self, outcomes: Iterable[Outcome]) -> None:
        """Remember the records that were refused as too new."""
        for outcome in outcomes:
            record = outcome.record
            if outcome.code is _TOO_NEW and record is not None and len(self._due_s) < POSTPONED_MAX:
                self._due_s[record.id] = record.timestamp - self._max_skew_s
        self._set_alarm()

    def cancel(self) -> None:
        """Ask for nothing any more."""
        self._alarm.cancel()

    def _on_time(self) -> None:
        now_s = self._now_s()
        due = [record_id for record_id, due_s in self._due_s.items() if due_s <= now_s]
        for record_id in due:
            del self._due_s[record_id]
        for begin in range(0, len(due), IDS_MAX):
            self._ask(due[begin : begin + IDS_MAX])
        self._set_alarm()

    def _set_alarm(self) -> None:
        if self._due_s:
            wait_s = min(self._due_s.values()) - self._now_s()
            self._alarm.set(asyncio.get_running_loop().time() + max(0.0, min(wait_s, _WAIT_S_MAX)))


async def take(ingest: Ingest, items: Sequence[Item], origin: Origin, delivery: Delivery) -> list[Outcome]:
    """Take these records in; returns one outcome for each, in their order, after the commit of the accepted ones.

    If the pipeline takes nothing now, every record is refused with the reason, because the peer needs the ids.
    """
    submissions = [Submission(item.signature, item.body) for item in items]
    try:
        return await ingest.take(submissions, origin, delivery)
    except ProtocolError as error:
        return await ingest.refuse(submissions, origin, delivery, error)


def known_ids(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """The ids of the records that this node held before."""
    return tuple(each.id for each in outcomes if each.status is _KNOWN and each.id is not None)


def refused_ids(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """The ids of the records that this node will never take."""
    return tuple(
        each.id for each in outcomes if each.code is not None and each.code not in TRANSIENT and each.id is not None
    )
