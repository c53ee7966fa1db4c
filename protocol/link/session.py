"""The conversation of an open link: both sides have proved who they are, and records flow.

A session hands each message, each timer and each answer of the node to the part that it concerns. The parts report what
has happened to a domain, and the session carries out the actions that `course` names.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import Any, Final

import msgspec

from protocol.link.comparison import Comparison
from protocol.link.course import PASSING, Course, DomainAction, DomainEvent, DomainState, RepairEvent, RepairState
from protocol.link.cursors import Cursors
from protocol.link.deadlines import Deadlines, Wait
from protocol.link.features import FEATURES, is_shared
from protocol.link.listing import Listing, ListSender
from protocol.link.messages import Ack, CaughtUp, Domains, Erased, Have, Message, Prune, Reconcile, Records, Since, Want
from protocol.link.orders import Heard, Outbox
from protocol.link.passes import Halves, Passes
from protocol.link.per_minute import PerMinute
from protocol.link.receiver import Receiver
from protocol.link.recent_ids import Exchanged
from protocol.link.reconciliation import Reconciliation, Tally, respond
from protocol.link.repair import Repair
from protocol.link.sender import Sender
from protocol.link.status import DomainStatus, LinkState, Step
from protocol.link.terms import Flow, Flows, LinkLimits, Role, Terms
from protocol.records.outcome import Outcome
from protocol.steps import Steps

_PIECE_DOMAINS: Final = 250
"""Domains that are compared in one piece, in 3 ms at most."""


class LinkSetting(msgspec.Struct, frozen=True):
    """What a link is given, and keeps until it ends."""

    role: Role
    listing: Listing
    limits: LinkLimits
    random: Random
    outbox: Outbox


class Session:
    """One end of an open link."""

    def __init__(
        self,
        setting: LinkSetting,
        terms: Terms,
        flows: Flows,
        deadlines: Deadlines,
        features: Collection[str] = FEATURES,
    ) -> None:
        """`terms`: what this node's row for the peer says. `flows`: what both sides have said. `deadlines`: shared with
        the link, which checks them. `features`: those of the peer.
        """
        limits, outbox = setting.limits, setting.outbox
        listing = setting.listing.shared_with(features)
        self._features = features
        exchanged = Exchanged(limits.recent_ids_max, terms.erased)
        out_cursors = Cursors(Flow.PUSH, terms.cursors, outbox, is_stored=flows.we_push)
        in_cursors = Cursors(Flow.PULL, terms.cursors, outbox, is_stored=flows.we_pull)
        self._setting = setting
        self._deadlines = deadlines
        self._course = Course()
        self.sender = Sender(listing.holdings, limits, out_cursors, exchanged, outbox, self._course)
        self.receiver = Receiver(limits, in_cursors, exchanged, outbox, self._course)
        self.tally = Tally()
        self._comparison = Comparison(listing, limits, features, terms.erased)
        self._our_list = ListSender(listing, outbox)
        halves = Halves(flows, terms.kept, terms.dropped, self.sender, self.receiver, exchanged)
        self._halves = halves
        self._passes = Passes(halves, self._comparison, limits.short_pass_records)
        self._lists = PerMinute("lists of domains", limits.lists_per_minute_max)
        self._idle_at: float | None = None
        """When passes that the peer should have begun by itself are given up; None: no pass is due."""
        self._work: Steps[None] | None = None
        self._reconciliation: Reconciliation | None = None
        self._repair: Repair | None = None
        if setting.role is Role.DIALLER:
            self._reconciliation = Reconciliation(halves, self._comparison, limits, outbox, self._course, self.tally)
            self._repair = Repair(self._our_list, self._reconciliation, limits, setting.random, self._course)

    def is_shared(self, domain: str) -> bool:
        """Whether records of this domain may flow over the link."""
        return is_shared(domain, self._features)

    @property
    def next_at(self) -> float | None:
        repair_at = self._repair.next_at if self._repair and not self.sender.is_behind else None
        list_at = self._our_list.next_at if self._work is None else None  # else the work sends it, or ends before it
        return min((at for at in (self._idle_at, repair_at, list_at) if at is not None), default=None)

    @property
    def state(self) -> LinkState:
        if self.sender.is_behind:
            return LinkState.BEHIND
        is_idle = self._reconciliation is None or self._reconciliation.is_idle
        is_compared = self._comparison.is_known and not self.is_working
        is_live = is_compared and not self._course.is_passing and is_idle
        return LinkState.LIVE if is_live else LinkState.CATCHING_UP

    @property
    def remembered(self) -> int:
        """Domains of which anything is remembered."""
        return len(self._course)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do until a record comes or a repair is due."""
        is_repairing = self._repair is not None and self._course.repair is not RepairState.IDLE
        return self.state is LinkState.LIVE and not is_repairing

    @property
    def is_in_step(self) -> bool:
        """Whether neither side lacks a record that should flow to it, as far as the last comparison shows.

        In a domain in which records flow one way, the receiver may hold more. A domain that is newer than the peer's
        last list does not count, because nobody has compared it yet.
        """
        return self._comparison.is_known and not any(map(self._flows, self._comparison.doubtful))

    def domains(self) -> Mapping[str, DomainStatus]:
        """Every domain that either side holds, in order."""
        return {domain: self._status_of(domain) for domain in self._comparison.domains()}

    def start(self, now: float) -> None:
        """Say what this node holds."""
        self._begin(self._send_list(now))
        self.go_on(now)

    def on_message(self, message: Message, now: float) -> bool:
        """Do what follows from a message; returns whether the message is legal on an open link.

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

    @property
    def is_working(self) -> bool:
        """Whether the last message is not wholly handled: call `work` before the next message."""
        return self._work is not None

    def work(self) -> None:
        """Do one more piece of the work that the last message causes.

        Raises:
            ProtocolError: for whatever ends the link.
        """
        assert self._work is not None, "called while `is_working`"
        work, self._work = self._work, None
        for _ in work:
            self._work = work
            return

    def _begin(self, work: Steps[None]) -> None:
        """Do the first piece of some work, which is all of it, unless the message is long."""
        self._work = work
        self.work()

    def on_taken(self, seq: int, outcomes: Sequence[Outcome], now: float) -> None:
        """A take has ended.

        Raises:
            ProtocolError: for an invalid record, or too many refused ones.
        """
        self._deadlines.renew(Wait.ANSWER, now)
        self.sender.forget(outcomes)
        self.receiver.on_taken(seq, outcomes, now)

    def on_time(self, now: float) -> None:
        """Time has passed."""
        if self._our_list.next_at is not None and self._work is None:
            self._our_list.send_page()
        if self._idle_at is not None and now >= self._idle_at:
            self._idle_at = None
            if not self.sender.has_passes and not self.receiver.has_passes:
                for domain in self._course.passing:
                    self._advance(domain, DomainEvent.LAPSED)
        if self._repair is not None and not self.sender.is_behind:  # what a peer that is behind lacks is known already
            self._repair.on_time(now)

    def compare(self, now: float) -> None:
        """Begin a repair. An acceptor sends its list and leaves the rest to the dialler."""
        if self._repair is None:
            self._our_list.begin(now)
        else:
            self._repair.ask(now)

    def go_on(self, now: float) -> None:
        """Do what follows from what the parts have reported; then begin and end waits. Call this after all others."""
        self._handle_reports()
        if self._reconciliation is not None:
            self._reconciliation.go_on()
            self._handle_reports()
        if self._course.is_passing:
            self._idle_at = now + self._setting.limits.idle_s if self._idle_at is None else self._idle_at
        else:
            self._idle_at = None
            if self._repair is not None and self._comparison.is_known and not self.is_working:
                self._repair.go_on(now)
        self._expect(now)

    def _handle_reports(self) -> None:
        for domain, event in self._course.reports():
            self._advance(domain, event)

    def _advance(self, domain: str, event: DomainEvent | None) -> None:
        """Move a domain on, also by the events to which an action leads."""
        while event is not None:
            event = self._carry_out(self._course.on_domain(domain, event), domain)
            if self._course.domain(domain) is DomainState.SAME:
                self._comparison.confirm(domain)

    def _carry_out(self, action: DomainAction, domain: str) -> DomainEvent | None:
        match action:
            case DomainAction.NOTHING:
                pass
            case DomainAction.BEGIN_INBOUND:
                self._passes.begin_inbound(domain)
            case DomainAction.BEGIN_OUTBOUND:
                self._passes.begin_outbound(domain)
            case DomainAction.BEGIN_BOTH:
                self._passes.begin_inbound(domain)
                self._passes.begin_outbound(domain)
            case DomainAction.COMPARE:
                self._course.on_repair(RepairEvent.UNSURE)
                return self._compare(domain)
            case DomainAction.COMPARE_AGREED:
                return self._compare(domain)
            case DomainAction.SETTLE:
                self._passes.settle(domain)
            case DomainAction.RECONCILE:
                self._course.on_repair(RepairEvent.UNSURE)
                return self._reconcile(domain, is_repair=False)
            case DomainAction.REPAIR:
                return self._reconcile(domain, is_repair=True)
        return None

    def _compare(self, domain: str) -> DomainEvent:
        return DomainEvent.SAME if self._comparison.is_same(domain) else DomainEvent.DIFFERENT

    def _reconcile(self, domain: str, *, is_repair: bool) -> DomainEvent | None:
        if self._reconciliation is not None and self._reconciliation.begin(domain, is_repair=is_repair):
            return None
        return DomainEvent.NOT_RECONCILED

    def _flows(self, domain: str) -> bool:
        """Whether one side holds records of this domain that should flow to the other."""
        comparison, halves = self._comparison, self._halves
        is_given = halves.gives(domain) and len(comparison.index(domain)) > 0
        return is_given or (halves.takes(domain) and comparison.theirs(domain).count > 0)

    def _send_list(self, now: float) -> Steps[None]:
        """Send our list, a page in each piece."""
        self._our_list.begin(now)
        while self._our_list.next_at is not None:
            yield
            self._our_list.send_page()

    def _status_of(self, domain: str) -> DomainStatus:
        state = self._course.domain(domain)
        step = _STEPS.get(state, Step.DIFFERS)
        ours, theirs = self._comparison.counts(domain)
        return DomainStatus(step, ours, theirs, is_catching_up=state in PASSING)

    def _expect(self, now: float) -> None:
        is_behind = self.sender.is_behind
        is_ack_due = self.sender.in_flight.frames > 0
        is_list_due = self._course.repair is RepairState.LISTING and not is_behind
        is_message_due = self._reconciliation.is_waiting if self._reconciliation else False
        expect = self._deadlines.expect
        expect(Wait.ACK, now, is_due=is_ack_due and not is_behind)
        expect(Wait.ANY_ACK, now, is_due=is_ack_due and is_behind)
        expect(Wait.ANSWER, now, is_due=self.receiver.is_waiting)
        expect(Wait.RECONCILE, now, is_due=is_message_due)
        expect(Wait.LIST, now, is_due=is_list_due or not self._comparison.is_known)

    def _on_domains(self, message: Domains, now: float) -> None:
        is_first = not self._comparison.is_known
        if not self._comparison.on_page(message):
            return
        self._lists.count(1, now)  # the peer asks for our list, which may be long, with few bytes
        self._begin(self._on_list(now, is_first=is_first))

    def _on_list(self, now: float, *, is_first: bool) -> Steps[None]:
        """Compare the peer's list with ours, in pieces."""
        domains = self._comparison.domains()
        self._course.forget_all_but(set(domains))
        differing = []
        for number, domain in enumerate(domains, 1):
            if self._comparison.is_same(domain):
                self._advance(domain, DomainEvent.SAME)
            else:
                differing.append(domain)
            if number % _PIECE_DOMAINS == 0:
                yield
        self._comparison.doubtful = set(differing)
        for number, domain in enumerate(differing, 1):
            self._advance(domain, self._passes.needed(domain) if is_first else DomainEvent.DIFFERENT)
            if number % _PIECE_DOMAINS == 0:
                yield
        if is_first:
            return
        if self._repair is not None:
            self._repair.on_list(differing, now)
        else:
            yield from self._send_list(now)

    def _on_since(self, message: Since, _now: float) -> None:
        self._idle_at = None
        self.sender.begin_pass(message.domain, message.timestamp, message.fingerprint, is_answer=True)

    def _on_records(self, message: Records, _now: float) -> None:
        if message.hops is None:  # live records never cease, and are no sign that the peer goes on with its passes
            self._idle_at = None
        self.receiver.on_records(message)

    def _on_ack(self, message: Ack, now: float) -> None:
        self._deadlines.renew(Wait.ANY_ACK, now)
        self.sender.on_ack(message)

    def _on_caught_up(self, message: CaughtUp, _now: float) -> None:
        self._idle_at = None
        domain = message.domain
        if self._comparison.on_caught_up(message):
            is_same = self._comparison.is_same(domain)
            self._advance(domain, DomainEvent.SAID_SAME if is_same else DomainEvent.SAID_DIFFERENT)
        self.receiver.on_caught_up(message)

    def _on_reconcile(self, message: Reconcile, _now: float) -> None:
        if self._reconciliation is not None and self._reconciliation.is_running(message.domain):
            self._begin(self._reconciliation.on_reconcile(message))
            return
        if message.agreed:
            self._comparison.confirm(message.domain)
        self._begin(self._respond(message))

    def _respond(self, message: Reconcile) -> Steps[None]:
        answer = yield from respond(message, self._comparison.index(message.domain), self._setting.limits)
        if answer is not None:
            self.tally.count(message.message, answer.message)
            self._setting.outbox.send(answer)

    def _on_erased(self, message: Erased, now: float) -> None:
        self.receiver.on_erased(message)
        self._on_gossip(message, now)

    def _on_gossip(self, message: Have | Want | Prune | Erased, _now: float) -> None:
        self._setting.outbox.put(Heard(message))


MOVES: Final[Mapping[type, Callable[[Session, Any, float], None]]] = MappingProxyType(
    {
        Domains: Session._on_domains,
        Since: Session._on_since,
        Records: Session._on_records,
        Ack: Session._on_ack,
        CaughtUp: Session._on_caught_up,
        Reconcile: Session._on_reconcile,
        Erased: Session._on_erased,
        Have: Session._on_gossip,
        Want: Session._on_gossip,
        Prune: Session._on_gossip,
    }
)
"""What a peer may say on an open link, in either direction and at any time, and who handles it."""

_PROGRESS: Final[Mapping[type, Wait]] = {
    Ack: Wait.ACK,
    Records: Wait.ANSWER,
    Erased: Wait.ANSWER,
    CaughtUp: Wait.ANSWER,
    Reconcile: Wait.RECONCILE,
    Domains: Wait.LIST,
}
"""Which wait a message renews."""

_STEPS: Final[Mapping[DomainState, Step]] = {DomainState.UNKNOWN: Step.UNKNOWN, DomainState.SAME: Step.IDENTICAL}
"""What an operator sees of a state; of all others, that the two sides differ."""
