"""How far one flow of one link has come in each domain, so that the next link does not begin at zero.

A cursor follows a pass, record by record. While a pass is under way, live records do not move the cursor, because they
are newer than the records that the pass has still to bring. When the pass is over, live records move the cursor. When
both sides turn out to hold the same, the cursor moves to their newest record, even if the records came another way: in
a tree of many nodes most records come over other links.
"""

from collections.abc import Mapping

from protocol.errors import Code
from protocol.link.orders import Outbox, PutCursor
from protocol.link.terms import Flow
from protocol.sets.paging import Pass


class Cursors:
    """The cursors of one flow."""

    def __init__(self, flow: Flow, stored: Mapping[tuple[str, Flow], int], outbox: Outbox, *, is_stored: bool) -> None:
        """`stored`: the cursors of earlier links by domain and flow, in seconds. `outbox`: takes the orders to store.
        `is_stored`: whether this node's row asks for the flow; if it does not, the cursors stay as they are.
        """
        self.is_stored = is_stored
        self._flow = flow
        self._outbox = outbox
        self._passes = {domain: Pass(at) for (domain, of), at in stored.items() if of is flow}
        self._put = {domain: course.through for domain, course in self._passes.items()}

    def get(self, domain: str) -> int | None:
        """Where the next pass begins, in seconds; None: there was no pass yet."""
        course = self._passes.get(domain)
        return None if course is None else course.through

    def begin(self, domain: str, timestamp: int) -> None:
        """A pass begins at this timestamp, in seconds."""
        self._passes[domain] = Pass(timestamp)

    def step(self, domain: str, timestamp: int, refusal: Code | None) -> None:
        """A record went through, or was refused. The records of a pass come in their order."""
        if self.is_stored and domain in self._passes:
            self._passes[domain].step(timestamp, refusal)

    def settle(self, domain: str, timestamp: int) -> None:
        """Both sides hold the same up to this timestamp, in seconds."""
        if self.is_stored:
            self._passes[domain] = Pass(max(timestamp, self._put.get(domain, 0)))
            self.store(domain)

    def store(self, domain: str) -> None:
        """Order to store the domain's cursor, if it has moved on."""
        course = self._passes.get(domain)
        if self.is_stored and course is not None and course.through > self._put.get(domain, 0):
            self._put[domain] = course.through
            self._outbox.put(PutCursor(domain, self._flow, course.through))
