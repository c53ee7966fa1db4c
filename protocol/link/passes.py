"""The passes with which a link begins: in each wanted direction, whatever is newer than the cursor, oldest first.

A node that pulls asks for its passes. A node that pushes begins a pass by itself if the peer does not pull. The states
that a domain goes through meanwhile are in `course`.

A cursor is a second, and more records of this second may come after it was stored. So a pass begins with the whole
second, unless both sides hold the same records of it. The receiver says what it holds of it when it asks; a side that
begins by itself finds out from the peer's list.

A receiver that has no cursor, and holds half of what the sender holds or more, skips a long pass. The pass would bring
mostly what is there already, and a reconciliation finds the rest at a lower cost.
"""

from collections.abc import Container

import msgspec

from protocol.link.comparison import Comparison
from protocol.link.course import DomainEvent
from protocol.link.receiver import Receiver
from protocol.link.recent_ids import Exchanged
from protocol.link.sender import Sender
from protocol.link.terms import Flows


class Halves(msgspec.Struct, frozen=True):
    """The two directions of a link. `kept`: the domains that this node supports, None: any; but not `dropped`."""

    flows: Flows
    kept: frozenset[str] | None
    dropped: Container[str]
    sender: Sender
    receiver: Receiver
    exchanged: Exchanged

    def gives(self, domain: str) -> bool:
        """Whether records of this domain should go out."""
        return self.flows.is_outbound and not self.sender.is_stopped(domain)

    def takes(self, domain: str) -> bool:
        """Whether records of this domain should come in."""
        is_kept = domain not in self.dropped and (self.kept is None or domain in self.kept)
        return self.flows.is_inbound and is_kept and not self.receiver.is_stopped(domain)


class Passes:
    """Decides which passes a domain needs, and begins them. The sender and the receiver carry them out."""

    def __init__(self, halves: Halves, comparison: Comparison, short_pass_records: int) -> None:
        """`short_pass_records`: a pass of at most this many records is never skipped."""
        self._halves = halves
        self._comparison = comparison
        self._short_pass_records = short_pass_records

    def needed(self, domain: str) -> DomainEvent:
        """The two sides differ in this domain: the event that says which passes are due."""
        flows = self._halves.flows
        is_inbound = self._halves.takes(domain) and self._comparison.theirs(domain).count > 0
        is_outbound = self._halves.gives(domain) and self._comparison.ours(domain).count > 0
        if is_inbound and is_outbound:
            is_first = flows.we_pull and not flows.they_pull and not self._has_news(domain)
            return DomainEvent.NEEDS_INBOUND_FIRST if is_first else DomainEvent.NEEDS_BOTH
        if is_inbound:
            return DomainEvent.NEEDS_INBOUND
        return DomainEvent.NEEDS_OUTBOUND if is_outbound else DomainEvent.NEEDS_NO_PASS

    def begin_inbound(self, domain: str) -> None:
        """Ask the peer for its pass, if this node pulls."""
        if not self._halves.flows.we_pull:
            return
        receiver, theirs = self._halves.receiver, self._comparison.theirs(domain)
        cursor = receiver.cursors.get(domain)
        if cursor is None and self._is_skipped(sender=theirs.count, receiver=self._comparison.ours(domain).count):
            # The peer has to learn that this pass is over, so this node asks for records newer than the peer's newest
            # one.
            receiver.ask(domain, (theirs.newest or 0) + 1)
            return
        begin = cursor or 0
        receiver.cursors.begin(domain, begin)
        receiver.ask(domain, begin, self._comparison.our_second(domain, begin))

    def begin_outbound(self, domain: str) -> None:
        """Begin our pass, if the peer does not pull. After the peer's pass, ours may have nothing left to bring."""
        if self._halves.flows.they_pull:
            return
        sender, ours = self._halves.sender, self._comparison.ours(domain)
        if self._comparison.is_same(domain):
            sender.skip_pass(domain)
            return
        cursor = sender.cursors.get(domain)
        if cursor is None and self._is_skipped(sender=ours.count, receiver=self._comparison.theirs(domain).count):
            sender.skip_pass(domain)
            return
        begin = cursor or 0
        sender.cursors.begin(domain, begin)
        sender.begin_pass(domain, begin, self._comparison.their_second(domain, begin), is_answer=False)

    def settle(self, domain: str) -> None:
        """Both sides hold the same: move both cursors to the newest record, whichever way it came."""
        newest = self._comparison.ours(domain).newest
        if newest is not None:
            self._halves.receiver.cursors.settle(domain, newest)
            self._halves.sender.cursors.settle(domain, newest)

    def _has_news(self, domain: str) -> bool:
        """Whether this node holds a record that is newer than what it sent before."""
        newest, cursor = self._comparison.ours(domain).newest, self._halves.sender.cursors.get(domain)
        return newest is None or cursor is None or newest > cursor

    def _is_skipped(self, *, sender: int, receiver: int) -> bool:
        return sender > self._short_pass_records and 2 * receiver >= sender
