"""Postponed: what came with a timestamp too far ahead of the clock, and is asked for again when its time has come.

A cursor stays below such a record, and a repair would find it, but a link may last for days, and a repair may be
minutes away. So the link remembers the ids and asks the same peer for them by `want`. Few are remembered:
an honest clock is seldom so far ahead, and what is forgotten is left to the cursors and the repairs.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from node.intake.arrivals import Delivery, Origin, Submission
from node.intake.group import refuse_all
from node.intake.ingest import Ingest
from node.links.alarm import Alarm
from protocol.errors import TRANSIENT, Code, ProtocolError
from protocol.limits import IDS_MAX
from protocol.link.messages import Item
from protocol.records.outcome import Outcome, Status

POSTPONED_MAX: Final = 4 * IDS_MAX
"""Ids of one link, half a megabyte: fewer than a peer lets itself be asked for at once."""

_WAIT_S_MAX: Final = 60.0
"""Between two looks at the wall clock, which may be set while the loop's goes on; and no timer is years away."""


class Postponed:
    """The ids that one link is to ask for later."""

    def __init__(self, max_skew_s: int, now_s: Callable[[], float], ask: Callable[[Sequence[str]], None]) -> None:
        """`now_s` is the wall clock, in seconds since the Unix epoch; `ask` is given at most `IDS_MAX` ids."""
        self._max_skew_s = max_skew_s
        self._now_s = now_s
        self._ask = ask
        self._due_s: dict[str, int] = {}
        self._alarm = Alarm(self._on_time)

    def put(self, outcomes: Iterable[Outcome]) -> None:
        """Remember those of a frame's records that were refused as too new."""
        for outcome in outcomes:
            record = outcome.record
            if outcome.code is Code.TOO_NEW and record is not None and len(self._due_s) < POSTPONED_MAX:
                self._due_s[record.id] = record.timestamp - self._max_skew_s
        self._set_alarm()

    def cancel(self) -> None:
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
        return await refuse_all(submissions, origin, delivery, error)


def known_ids(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """The ids of the records that this node held before."""
    return tuple(each.id for each in outcomes if each.status is Status.KNOWN and each.id is not None)


def refused_ids(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """The ids of the records that this node will never take."""
    return tuple(
        each.id for each in outcomes if each.code is not None and each.code not in TRANSIENT and each.id is not None
    )
