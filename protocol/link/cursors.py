"""How far one flow of one link has come, domain by domain, so that the next link need not begin anew.

A cursor follows a pass, record by record in their order. While a pass is under way nothing else moves it: a live record
is newer than all that the pass has still to bring. When the pass is over, live records move it on. And when both sides
turn out to hold the same, it moves to where their newest record was, whichever way the records came: most of them come
over another link in a tree of many nodes.
"""

from collections.abc import Mapping

from protocol.errors import Code
from protocol.link.orders import Outbox, PutCursor
from protocol.link.terms import Flow
from protocol.sets.walk import Pass


class Cursors:
    """One flow's. Where this node has no row that asks for the flow, nothing is stored."""

    def __init__(self, flow: Flow, stored: Mapping[tuple[str, Flow], int], outbox: Outbox, *, is_stored: bool) -> None:
        self._flow = flow
        self._outbox = outbox
        self._is_stored = is_stored
        self._passes = {domain: Pass(at) for (domain, of), at in stored.items() if of is flow}
        self._put = {domain: course.through for domain, course in self._passes.items()}

    def get(self, domain: str) -> int | None:
        """Where the next pass begins; None where there was none yet."""
        course = self._passes.get(domain)
        return None if course is None else course.through

    def begin(self, domain: str, timestamp: int) -> None:
        """A pass begins there."""
        self._passes[domain] = Pass(timestamp)

    def step(self, domain: str, timestamp: int, refusal: Code | None) -> None:
        """A record has gone through, or was refused; in order within a pass."""
        if self._is_stored and domain in self._passes:
            self._passes[domain].step(timestamp, refusal)

    def settle(self, domain: str, timestamp: int) -> None:
        """Both hold the same up to this timestamp."""
        if self._is_stored:
            self._passes[domain] = Pass(max(timestamp, self._put.get(domain, 0)))
            self.store(domain)

    def store(self, domain: str) -> None:
        """Order to store the domain's cursor, where it has moved on."""
        course = self._passes.get(domain)
        if self._is_stored and course is not None and course.through > self._put.get(domain, 0):
            self._put[domain] = course.through
            self._outbox.put(PutCursor(domain, self._flow, course.through))
