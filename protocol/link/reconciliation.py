"""The reconciliations of one link: which records does one side lack, whatever the cursors say?

The dialler asks; the acceptor answers and keeps nothing between two messages. In a catch-up the dialler sends and asks
for what is missing as it is found. In a repair it collects the missing ids first, because two reconciliations with some
time between them have to find the same ids: an id that only the first one finds was on its way.

There may be as many differences as records, so everything has its pace: the missing ids are read as they can be sent,
and no further message goes out while many records are still to be sent or fetched.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final

import msgspec

from protocol.errors import Code, ProtocolError
from protocol.limits import IDS_MAX
from protocol.link.comparison import Comparison
from protocol.link.course import Course, DomainEvent
from protocol.link.messages import Reconcile
from protocol.link.orders import Found, Outbox
from protocol.link.passes import Halves
from protocol.link.terms import LinkLimits
from protocol.sets.index import Index
from protocol.sets.negentropy import Initiator, Responder
from protocol.steps import Steps

AT_ONCE_MAX: Final = 4
"""Reconciliations under way: enough to hide a round trip if many domains differ."""

_BACKLOG_MAX: Final = 10_000
"""Ids that were found and are not dealt with yet; with more, no further message is sent."""

_SUSPECTS_MAX: Final = 10_000
"""Ids that a repair collects to confirm them. With more, something is wrong for certain."""


class MissingIds(msgspec.Struct):
    """Hex ids that the peer lacks (`have`) and that we lack (`need`), as sets that keep their order."""

    have: dict[str, None] = msgspec.field(default_factory=dict)
    need: dict[str, None] = msgspec.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.have) + len(self.need)


class _Run(msgspec.Struct):
    """One reconciliation.

    `asked`: the message that was sent last. `newest`: our highest timestamp when the run began, in seconds; None: no
    record. `found`: what a repair has collected; None: what is found is sent and asked for at once. `suspects`: what
    the first reconciliation of a repair found, None in any other. `held`: the next message, until it may be sent.
    `has_have`, `has_need`: whether the peer, or we, lacked anything. `has_refused`: whether the
    peer lacks a record that it refused. `known_here`, `known_there`: the erased records between both when the run
    began; `erased_here`, `erased_there`: those among them that the run has found. None of them counts as missing.
    """

    initiator: Initiator
    asked: bytes
    newest: int | None
    found: MissingIds | None
    suspects: MissingIds | None
    known_here: frozenset[str]
    known_there: frozenset[str]
    held: bytes | None = None
    has_have: bool = False
    has_need: bool = False
    has_refused: bool = False
    erased_here: set[str] = msgspec.field(default_factory=set)
    erased_there: set[str] = msgspec.field(default_factory=set)


class Tally(msgspec.Struct):
    """What reconciliation has cost on one link: answers of the acceptor, and bytes of the messages both ways."""

    rounds: int = 0
    payload_bytes: int = 0

    def count(self, question: bytes, answer: bytes) -> None:
        self.rounds += 1
        self.payload_bytes += len(question) + len(answer)


def respond(message: Reconcile, index: Index, limits: LinkLimits) -> Steps[Reconcile | None]:
    """The answer of the side that is asked, from its index of the domain, in pieces; None: the peer is done.

    Raises:
        ProtocolError: `malformed`.
    """
    if not message.message:
        return None
    responder = Responder(index, limits.reconcile_bytes_max)
    answer = yield from responder.steps(message.message, limits.reconcile_ranges_max)
    return Reconcile(message.domain, answer)


class Reconciliation:
    """The dialler's part."""

    def __init__(
        self,
        halves: Halves,
        comparison: Comparison,
        limits: LinkLimits,
        outbox: Outbox,
        course: Course,
        tally: Tally,
    ) -> None:
        """`halves` send and fetch what is missing. `comparison` knows the indexes of this node. `outbox` takes the
        orders. `course` is told of each reconciliation that is over. `tally` counts what is said.
        """
        self._halves = halves
        self._comparison = comparison
        self._limits = limits
        self._outbox = outbox
        self._course = course
        self._tally = tally
        self._queue: deque[tuple[str, bool]] = deque()
        """Domains that wait for their turn, and whether a repair wants them."""
        self._runs: dict[str, _Run] = {}
        self._suspects: dict[str, MissingIds] = {}
        self._backlog = _Backlog()

    @property
    def is_waiting(self) -> bool:
        """Whether the peer owes an answer."""
        return any(run.held is None for run in self._runs.values())

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to compare, send or fetch."""
        return not (self._queue or self._runs or self._backlog or self._halves.receiver.wanted)

    @property
    def suspected(self) -> list[str]:
        """Domains in which the first reconciliation of a repair found missing ids; the second one has not begun."""
        return sorted(self._suspects)

    def is_running(self, domain: str) -> bool:
        """Whether a reconciliation of ours is under way: then the peer's message of the domain is its answer."""
        return domain in self._runs

    def begin(self, domain: str, *, is_repair: bool) -> bool:
        """Reconcile this domain when its turn comes; returns False if no direction of it is wanted."""
        if not self._halves.gives(domain) and not self._halves.takes(domain):
            self._suspects.pop(domain, None)
            return False
        self._queue.append((domain, is_repair))
        self.go_on()
        return True

    def on_reconcile(self, message: Reconcile) -> Steps[None]:
        """Read the peer's answer, in pieces.

        Raises:
            ProtocolError: `malformed`, also if the peer was not asked, or if the rounds do not come to an end.
        """
        run = self._runs[message.domain]
        if run.held is not None:
            raise ProtocolError(Code.MALFORMED, f"a reconciliation of {message.domain} that was not asked for")
        self._tally.count(run.asked, message.message)
        reply, have, need = yield from run.initiator.steps(message.message, self._limits.reconcile_ranges_max)
        self._find(run, message.domain, (each.hex() for each in have), [each.hex() for each in need])
        if reply is None:
            self._finish(message.domain, run)
        else:
            run.held = reply
        self.go_on()

    def go_on(self) -> None:
        """Do what the backlog allows by now."""
        sender = self._halves.sender
        self._backlog.read()
        while sender.owed < IDS_MAX and (ids := self._backlog.take(IDS_MAX)):
            sender.give(ids, hops=0)
        if self._backlog.is_long or len(self._backlog) + self._halves.receiver.wanted > _BACKLOG_MAX:
            return
        for domain, run in self._runs.items():
            if run.held is not None:
                self._outbox.send(Reconcile(domain, run.held))
                run.asked, run.held = run.held, None
        while self._queue and len(self._runs) < AT_ONCE_MAX:
            self._start(*self._queue.popleft())

    def _start(self, domain: str, is_repair: bool) -> None:
        index = self._comparison.index(domain)
        initiator = Initiator(index, self._limits.reconcile_bytes_max, self._limits.rounds_max)
        suspects = self._suspects.pop(domain, None)
        first, erased = initiator.initiate(), self._comparison.erased
        self._runs[domain] = _Run(
            initiator=initiator,
            asked=first,
            newest=index.newest,
            found=MissingIds() if is_repair else None,
            suspects=suspects,
            known_here=erased.here(domain),
            known_there=erased.there(domain),
        )
        self._outbox.send(Reconcile(domain, first))

    def _find(self, run: _Run, domain: str, have: Iterator[str], need: Sequence[str]) -> None:
        """Collect what one answer has found, or act on it at once."""
        lacked = self._not_refused(run, have)
        need = self._not_erased(run, need)
        first = list(islice(lacked, 1)) if self._halves.gives(domain) else []
        have = chain(first, lacked) if first else iter(())
        need = need if self._halves.takes(domain) else ()
        run.has_have |= bool(first)
        run.has_need |= bool(need)
        if run.found is None:
            self._act(self._not_postponed_there(have), self._not_postponed_here(need))
            return
        run.found.have |= dict.fromkeys(islice(have, _SUSPECTS_MAX + 1))
        run.found.need |= dict.fromkeys(need)
        if len(run.found) > _SUSPECTS_MAX:
            self._report(domain, run.found)
            self._act(chain(run.found.have, have), run.found.need)
            run.found = None

    def _not_refused(self, run: _Run, have: Iterator[str]) -> Iterator[str]:
        """The ids that the peer lacks and has not refused, without those that are erased here."""
        for each in have:
            if each in self._halves.exchanged.refused:
                run.has_refused = True
            elif each in run.known_here:
                run.erased_here.add(each)
            else:
                yield each

    def _not_erased(self, run: _Run, need: Sequence[str]) -> Sequence[str]:
        """The ids that we lack, without those of which the peer has said that it erased them."""
        if not run.known_there:
            return need
        run.erased_there |= run.known_there.intersection(need)
        return [each for each in need if each not in run.erased_there]

    def _finish(self, domain: str, run: _Run) -> None:
        del self._runs[domain]
        self._comparison.erased.forget(domain, run.known_there - run.erased_there)
        if run.found is not None and self._halves.gives(domain):  # otherwise not all differences were looked at
            self._comparison.erased.forget(domain, run.known_here - run.erased_here)
        is_agreed = run.found is not None and not run.found and not run.has_refused
        if run.found and run.suspects is None:
            self._suspects[domain] = run.found
        elif run.found and run.suspects is not None:
            is_agreed = not self._confirm(domain, run.found, run.suspects) and not run.has_refused
        if is_agreed:
            self._comparison.confirm(domain)
        self._outbox.send(Reconcile(domain, b"", agreed=is_agreed))
        self._move_cursors(domain, run)
        self._course.report(domain, DomainEvent.RECONCILED)

    def _move_cursors(self, domain: str, run: _Run) -> None:
        """If nothing was missing in one direction, that direction's cursor moves to the newest timestamp that its
        sender had when the run began.
        """
        theirs = self._comparison.theirs(domain)
        if not run.has_need and theirs.newest is not None:
            self._halves.receiver.cursors.settle(domain, theirs.newest)
        if not run.has_have and run.newest is not None:
            self._halves.sender.cursors.settle(domain, run.newest)

    def _confirm(self, domain: str, found: MissingIds, before: MissingIds) -> bool:
        """Act on the ids that both reconciliations have found: these were missed, and not merely on their way. Returns
        whether there are any.
        """
        missed = MissingIds(
            {each: None for each in found.have if each in before.have},
            {each: None for each in found.need if each in before.need},
        )
        if missed:
            self._report(domain, missed)
            self._act(iter(missed.have), missed.need)
        return bool(missed)

    def _report(self, domain: str, missed: MissingIds) -> None:
        """Tell the node what was missed. A record that was refused for now is missing for a known reason."""
        have = sum(1 for _ in self._not_postponed_there(missed.have))
        need = sum(1 for _ in self._not_postponed_here(missed.need))
        if have or need:
            self._outbox.put(Found(domain, have, need))

    def _not_postponed_there(self, ids: Iterable[str]) -> Iterator[str]:
        return (each for each in ids if each not in self._halves.exchanged.postponed)

    def _not_postponed_here(self, ids: Iterable[str]) -> Iterator[str]:
        return (each for each in ids if each not in self._halves.exchanged.postponed_here)

    def _act(self, have: Iterator[str], need: Iterable[str]) -> None:
        """Send and ask for these. `have` is read as it can be sent, long after the call."""
        self._backlog.add(have)
        self._halves.receiver.want(need)


class _Backlog:
    """Ids of records that the peer lacks, in the order in which they were found; most of them are not read yet."""

    def __init__(self) -> None:
        self._ready: deque[str] = deque()
        self._unread: deque[Iterator[str]] = deque()
        """What follows the ids that are ready, of any length."""

    def __len__(self) -> int:
        """How many ids are ready."""
        return len(self._ready)

    def __bool__(self) -> bool:
        return bool(self._ready or self._unread)

    @property
    def is_long(self) -> bool:
        """Whether some ids are not read yet."""
        return bool(self._unread)

    def add(self, ids: Iterator[str]) -> None:
        self._unread.append(ids)

    def take(self, count: int) -> list[str]:
        """The first ids that are ready, at most `count`."""
        ids = [self._ready.popleft() for _ in range(min(count, len(self._ready)))]
        self.read()
        return ids

    def read(self) -> None:
        """Have as many ids ready as the limit allows."""
        while self._unread and len(self._ready) <= _BACKLOG_MAX:
            page = list(islice(self._unread[0], IDS_MAX))
            self._ready.extend(page)
            if not page:
                self._unread.popleft()
