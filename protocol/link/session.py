"""The conversation of an open link: both have proved who they are, and records flow.

Everything that a frame, a timer or an answer of the node changes is passed on to the part whose concern it is. What one
part has brought to an end is then carried to the next: passes end, domains are reconciled, repairs follow.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import Any, Final

import msgspec

from protocol.errors import Code, ProtocolError
from protocol.link.comparison import Comparison
from protocol.link.cursors import Cursors
from protocol.link.deadlines import Deadlines, Wait
from protocol.link.messages import Ack, CaughtUp, Domains, Have, Message, Prune, Reconcile, Records, Since, Want
from protocol.link.orders import Heard, Outbox
from protocol.link.passes import Passes
from protocol.link.receiver import Receiver
from protocol.link.recent_ids import RecentIds
from protocol.link.reconciliation import Halves, Reconciled, Reconciliation, Tally, respond
from protocol.link.repair import Repair
from protocol.link.sender import Sender
from protocol.link.status import DomainStatus, LinkState
from protocol.link.terms import Flow, Flows, Holdings, LinkLimits, Role, Terms
from protocol.records.outcome import Outcome

_MINUTE_S: Final = 60.0


class Setting(msgspec.Struct, frozen=True):
    """What a link is given and keeps for all its time."""

    role: Role
    holdings: Holdings
    limits: LinkLimits
    random: Random
    outbox: Outbox


class Session:
    """One end of an open link."""

    def __init__(self, setting: Setting, terms: Terms, flows: Flows, deadlines: Deadlines) -> None:
        holdings, limits, outbox = setting.holdings, setting.limits, setting.outbox
        familiar = RecentIds(limits.recent_ids_max)
        out_cursors = Cursors(Flow.PUSH, terms.cursors, outbox, is_stored=flows.we_push)
        in_cursors = Cursors(Flow.PULL, terms.cursors, outbox, is_stored=flows.we_pull)
        self.sender = Sender(holdings, limits, out_cursors, familiar, outbox)
        self.receiver = Receiver(limits, in_cursors, familiar, outbox)
        self.tally = Tally()
        self._setting = setting
        self._halves = Halves(flows, terms.kept, self.sender, self.receiver, out_cursors, in_cursors)
        self._comparison = Comparison(holdings, limits)
        self._reconciliation: Reconciliation | None = None
        self._repair: Repair | None = None
        if setting.role is Role.DIALLER:
            self._reconciliation = Reconciliation(holdings, limits, self._halves, outbox, self.tally)
            self._repair = Repair(self._comparison, self._reconciliation, limits, setting.random, outbox)
        self._passes = Passes(self._halves, self._comparison, self._reconciliation, limits.short_pass_records)
        self._deadlines = deadlines
        self._idle_at: float | None = None
        self._minute_began = 0.0
        self._lists_this_minute = 0

    @property
    def next_at(self) -> float | None:
        repairs_at = self._repair.next_at if self._repair and not self.sender.is_behind else None
        times = (self._idle_at, repairs_at)
        return min((at for at in times if at is not None), default=None)

    @property
    def state(self) -> LinkState:
        if self.sender.is_behind:
            return LinkState.BEHIND
        is_idle = self._reconciliation is None or self._reconciliation.is_idle
        return LinkState.LIVE if self._comparison.is_known and not self._passes and is_idle else LinkState.CATCHING_UP

    @property
    def is_settled(self) -> bool:
        is_repairing = self._repair is not None and self._repair.is_under_way
        return self.state is LinkState.LIVE and not is_repairing

    def domains(self) -> Mapping[str, DomainStatus]:
        """Every domain that either side holds, in order."""
        return {
            domain: self._comparison.status(domain, is_catching_up=domain in self._passes)
            for domain in self._comparison.domains()
        }

    def start(self, now: float) -> None:
        """Say what this node holds."""
        self._setting.outbox.send(*self._comparison.list_pages())
        self.go_on(now)

    def on_message(self, message: Message, now: float) -> bool:
        """Do what follows from it; returns whether it is legal on an open link.

        Raises:
            ProtocolError: for whatever ends the link.
        """
        move = MOVES.get(type(message))
        if move is None:
            return False
        wait = _PROGRESS.get(type(message))
        if wait is not None:
            self._deadlines.renew(wait, now)
        move(self, message, now)
        return True

    def on_taken(self, seq: int, outcomes: Sequence[Outcome], now: float) -> None:
        self._deadlines.renew(Wait.ANSWER, now)
        for outcome in outcomes:
            if outcome.record is not None:
                self.sender.forget(outcome.record.id)
        self.receiver.on_taken(seq, outcomes, now)

    def on_time(self, now: float) -> None:
        if self._idle_at is not None and now >= self._idle_at:
            self._idle_at = None
            if not self.sender.has_passes and not self.receiver.has_passes:
                self._passes.wait_no_longer()
        if self._repair is not None and not self.sender.is_behind:  # of a peer that is, it is known what it lacks
            self._repair.on_time(now)

    def compare(self, now: float) -> None:
        """Begin a repair; an acceptor says what it holds, and leaves the rest to the dialler."""
        if self._repair is None:
            self._setting.outbox.send(*self._comparison.list_pages())
        elif self._comparison.is_known and not self._passes:
            self._repair.hurry(now)

    def go_on(self, now: float) -> None:
        """Carry what has come to its end to whoever goes on with it; begin and end waits."""
        self._pass_on()
        if self._reconciliation is not None:
            self._reconciliation.go_on()
            for outcome in _drained(self._reconciliation.finished):
                self._on_reconciled(outcome)
        if self._passes and self._idle_at is None:
            self._idle_at = now + self._setting.limits.idle_s
        elif not self._passes:
            self._idle_at = None
            if self._repair is not None and self._comparison.is_known:
                self._repair.go_on(now, is_agreed=self._passes.is_agreed)
        self._expect(now)

    def _pass_on(self) -> None:
        for domain in _drained(self.receiver.passed):  # first, as a pass of ours may have waited for it
            self._passes.on_inbound_passed(domain)
        for domain in _drained(self.sender.passed):
            self._passes.on_outbound_passed(domain)

    def _expect(self, now: float) -> None:
        is_behind = self.sender.is_behind
        is_ack_due = self.sender.in_flight.frames > 0
        is_list_due = self._repair.is_list_due and not is_behind if self._repair else False
        is_message_due = self._reconciliation.is_waiting if self._reconciliation else False
        expect = self._deadlines.expect
        expect(Wait.ACK, now, is_due=is_ack_due and not is_behind)
        expect(Wait.ANY_ACK, now, is_due=is_ack_due and is_behind)
        expect(Wait.ANSWER, now, is_due=self.receiver.is_waiting)
        expect(Wait.RECONCILE, now, is_due=is_message_due)
        expect(Wait.LIST, now, is_due=is_list_due or not self._comparison.is_known)

    def _on_reconciled(self, outcome: Reconciled) -> None:
        """A way in which nothing was missing is complete up to what was newest when it began."""
        theirs = self._comparison.theirs(outcome.domain)
        if not outcome.need and theirs.newest is not None:
            self._halves.in_cursors.settle(outcome.domain, theirs.newest)
        if not outcome.have and outcome.newest is not None:
            self._halves.out_cursors.settle(outcome.domain, outcome.newest)

    def _on_domains(self, message: Domains, now: float) -> None:
        is_first = not self._comparison.is_known
        if not self._comparison.on_page(message):
            return
        self._count_list(now)
        differing = []
        for domain in self._comparison.domains():
            if self._comparison.is_same(domain):
                self._passes.settle(domain)
            else:
                differing.append(domain)
        if is_first:
            for domain in differing:
                self._passes.begin(domain)
        elif self._repair is not None:
            self._repair.on_list([domain for domain in differing if domain not in self._passes])
        else:
            self._setting.outbox.send(*self._comparison.list_pages())

    def _count_list(self, now: float) -> None:
        """A list of ours may be long, and costs the peer few bytes to ask for."""
        if now - self._minute_began >= _MINUTE_S:
            self._minute_began, self._lists_this_minute = now, 0
        self._lists_this_minute += 1
        if self._lists_this_minute > self._setting.limits.lists_per_minute_max:
            detail = f"{self._lists_this_minute} lists of domains within a minute"
            raise ProtocolError(Code.RATE_LIMITED, f"{detail}: {self._setting.limits.lists_per_minute_max} at most")

    def _on_since(self, message: Since, _now: float) -> None:
        self._idle_at = None
        self.sender.begin_pass(message.domain, message.timestamp, is_answer=True)

    def _on_records(self, message: Records, _now: float) -> None:
        if message.hops is None:  # live records never cease, and are no sign that the peer goes on with its passes
            self._idle_at = None
        self.receiver.on_records(message)

    def _on_ack(self, message: Ack, now: float) -> None:
        self._deadlines.renew(Wait.ANY_ACK, now)
        self.sender.on_ack(message)

    def _on_caught_up(self, message: CaughtUp, _now: float) -> None:
        self._idle_at = None
        self._comparison.on_caught_up(message)
        self.receiver.on_caught_up(message)

    def _on_reconcile(self, message: Reconcile, _now: float) -> None:
        if self._reconciliation is not None and self._reconciliation.is_running(message.domain):
            self._reconciliation.on_reconcile(message)
            return
        answer = respond(message, self._setting.holdings, self._setting.limits)
        if answer is not None:
            self.tally.count(message.message, answer.message)
            self._setting.outbox.send(answer)

    def _on_gossip(self, message: Have | Want | Prune, _now: float) -> None:
        self._setting.outbox.put(Heard(message))


MOVES: Final[Mapping[type, Callable[[Session, Any, float], None]]] = MappingProxyType(
    {
        Domains: Session._on_domains,
        Since: Session._on_since,
        Records: Session._on_records,
        Ack: Session._on_ack,
        CaughtUp: Session._on_caught_up,
        Reconcile: Session._on_reconcile,
        Have: Session._on_gossip,
        Want: Session._on_gossip,
        Prune: Session._on_gossip,
    }
)
"""What may be said on an open link, in either direction and at any time, and who answers it."""

_PROGRESS: Final[Mapping[type, Wait]] = {
    Ack: Wait.ACK,
    Records: Wait.ANSWER,
    CaughtUp: Wait.ANSWER,
    Reconcile: Wait.RECONCILE,
    Domains: Wait.LIST,
}


def _drained(items: list[Any]) -> list[Any]:
    taken = items[:]
    items.clear()
    return taken
