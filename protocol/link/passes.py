"""The passes with which a link begins: whatever is newer than the cursors, each wanted way, oldest first.

Who pulls asks for its passes; who pushes to somebody who does not pull runs them. So of each domain something may be
due that this side does, and something that the other does. When nothing of a domain is due any more, and the two still
differ, the dialler reconciles it: that finds what a cursor cannot.

Both say last what they hold when their pass is over, and then often know that it is the same. Who pulls and pushes, and
has nothing newer than what it pushed before, therefore lets its own pass wait for the other's: which brings the records
of the second at which both left off, so that they do not cross on the way, and what is said afterwards is up to date.

A side without a cursor that holds half of what the other has, or more, skips the pass where it would be long. It would
bring mostly what is there already; a reconciliation finds the rest for less.
"""

import msgspec

from protocol.link.comparison import Comparison
from protocol.link.reconciliation import Halves, Reconciliation


class _Due(msgspec.Struct):
    """Which passes have still to go through. `waits`: ours begins when the peer's has come through; `is_told`: it did,
    so that the peer hears what we hold after both.
    """

    inbound: bool
    outbound: bool
    waits: bool = False
    is_told: bool = False


class Passes:
    """The passes of one link, and what follows them."""

    def __init__(
        self, halves: Halves, comparison: Comparison, reconciliation: Reconciliation | None, short_pass_records: int
    ) -> None:
        """`reconciliation`: None on the acceptor's side."""
        self._short_pass_records = short_pass_records
        self._halves = halves
        self._comparison = comparison
        self._reconciliation = reconciliation
        self._due: dict[str, _Due] = {}
        self.is_agreed = True
        """Whether both know that they hold the same, but for domains whose passes are due."""

    def __contains__(self, domain: object) -> bool:
        return domain in self._due

    def __len__(self) -> int:
        return len(self._due)

    def begin(self, domain: str) -> None:
        """The two differ in this domain: begin our passes, and wait for the peer's."""
        flows = self._halves.flows
        due = _Due(
            inbound=self._halves.takes(domain) and self._comparison.theirs(domain).count > 0,
            outbound=self._halves.gives(domain) and self._comparison.ours(domain).count > 0,
        )
        self._due[domain] = due
        if due.inbound and flows.we_pull:
            self._pull(domain)
        if due.outbound and not flows.they_pull:
            due.waits = due.inbound and flows.we_pull and not self._has_news(domain)
            if not due.waits:
                self._push(domain)
        self._advance(domain, due)

    def on_inbound_passed(self, domain: str) -> None:
        due = self._due.get(domain)
        if due is not None:
            due.inbound = False
            if due.waits:
                due.waits, due.is_told = False, True
                self._push(domain)
            self._advance(domain, due)

    def on_outbound_passed(self, domain: str) -> None:
        due = self._due.get(domain)
        if due is not None:
            due.outbound = False
            self._advance(domain, due)

    def wait_no_longer(self) -> None:
        """Go on without the passes that the peer does not begin: it may have seen no difference when it compared."""
        for domain, due in list(self._due.items()):
            due.inbound = due.outbound = False
            self._advance(domain, due)

    def _has_news(self, domain: str) -> bool:
        """Whether anything is newer than what went out before."""
        newest, cursor = self._comparison.ours(domain).newest, self._halves.out_cursors.get(domain)
        return newest is None or cursor is None or newest > cursor

    def _pull(self, domain: str) -> None:
        ours, theirs = self._comparison.ours(domain), self._comparison.theirs(domain)
        cursor = self._halves.in_cursors.get(domain)
        if cursor is None and self._is_skipped(sender=theirs.count, receiver=ours.count):
            # Asks for next to nothing, so that the peer knows that this pass is over.
            self._halves.receiver.ask(domain, (theirs.newest or 0) + 1)
            return
        self._halves.in_cursors.begin(domain, cursor or 0)
        self._halves.receiver.ask(domain, cursor or 0)

    def _push(self, domain: str) -> None:
        ours, theirs = self._comparison.ours(domain), self._comparison.theirs(domain)
        cursor = self._halves.out_cursors.get(domain)
        if cursor is None and self._is_skipped(sender=ours.count, receiver=theirs.count):
            self._halves.sender.skip_pass(domain)
            return
        self._halves.out_cursors.begin(domain, cursor or 0)
        self._halves.sender.begin_pass(domain, cursor or 0, is_answer=False)

    def _advance(self, domain: str, due: _Due) -> None:
        if due.inbound or due.outbound:
            return
        del self._due[domain]
        is_same = self._comparison.is_same(domain)
        self.is_agreed = self.is_agreed and is_same and due.is_told
        if is_same:
            self.settle(domain)
        elif self._reconciliation is not None:
            self._reconciliation.begin(domain, is_repair=False)

    def settle(self, domain: str) -> None:
        """Both hold the same: the cursors may move to the newest record, whichever way it came."""
        newest = self._comparison.ours(domain).newest
        if newest is not None:
            self._halves.in_cursors.settle(domain, newest)
            self._halves.out_cursors.settle(domain, newest)

    def _is_skipped(self, *, sender: int, receiver: int) -> bool:
        return sender > self._short_pass_records and 2 * receiver >= sender
