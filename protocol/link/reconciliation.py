"""The reconciliations of one link: which records does one side lack, whatever the cursors say?

The dialler asks, the acceptor answers and remembers nothing; a dialler that is asked answers likewise. In a catch-up,
what is found is sent and asked for as it is found. In a repair, two reconciliations with some time between them have to
find the same: what only the first found was on its way.

Differences may be as many as records, so everything has its pace: what the peer lacks is looked up as it can be sent,
and while much is still to be sent or fetched, the next message waits.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final

import msgspec

from protocol.errors import Code, ProtocolError
from protocol.limits import IDS_MAX
from protocol.link.cursors import Cursors
from protocol.link.messages import Reconcile
from protocol.link.orders import Found, Outbox
from protocol.link.receiver import Receiver
from protocol.link.sender import Sender
from protocol.link.terms import Flows, Holdings, LinkLimits
from protocol.sets.index import EMPTY
from protocol.sets.negentropy import Initiator, Responder

AT_ONCE_MAX: Final = 4
"""Reconciliations under way: enough to hide a round trip where many domains differ."""

_BACKLOG_MAX: Final = 10_000
"""Ids found and not yet dealt with, past which no further message is sent."""

_SUSPECTS_MAX: Final = 10_000
"""Differences in a repair that is still to be confirmed: with more than this, something is wrong for certain."""


class Halves(msgspec.Struct, frozen=True):
    """The two ways of a link, with the cursors of each. `kept`: the domains that this node supports; None: any."""

    flows: Flows
    kept: frozenset[str] | None
    sender: Sender
    receiver: Receiver
    out_cursors: Cursors
    in_cursors: Cursors

    def gives(self, domain: str) -> bool:
        """Whether records of this domain are to go out."""
        return self.flows.is_outbound and not self.sender.is_stopped(domain)

    def takes(self, domain: str) -> bool:
        """Whether records of this domain are to come in."""
        is_kept = self.kept is None or domain in self.kept
        return self.flows.is_inbound and is_kept and not self.receiver.is_stopped(domain)


class MissingIds(msgspec.Struct):
    """Hex ids that we have and the peer lacks, and the other way round, as sets that keep their order."""

    have: dict[str, None] = msgspec.field(default_factory=dict)
    need: dict[str, None] = msgspec.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.have) + len(self.need)


class _Run(msgspec.Struct):
    """One reconciliation. `asked` is the message sent last, `held` the one that waits; `found` collects in a repair,
    and is None in a catch-up.
    """

    initiator: Initiator
    asked: bytes
    newest: int | None
    found: MissingIds | None
    confirming: MissingIds | None = None
    held: bytes | None = None
    have: bool = False
    need: bool = False


class Tally(msgspec.Struct):
    """What reconciling has cost on one link: answers that the acceptor gave, and bytes of messages both ways."""

    rounds: int = 0
    payload_bytes: int = 0

    def count(self, question: bytes, answer: bytes) -> None:
        self.rounds += 1
        self.payload_bytes += len(question) + len(answer)


class Reconciled(msgspec.Struct, frozen=True):
    """Whether a reconciliation found anything in the ways that are wanted. `newest`: our highest timestamp when it
    began.
    """

    domain: str
    have: bool
    need: bool
    newest: int | None


def respond(message: Reconcile, holdings: Holdings, limits: LinkLimits) -> Reconcile | None:
    """The part of whoever is asked; None: the peer is done.

    Raises:
        ProtocolError: `malformed`.
    """
    if not message.message:
        return None
    responder = Responder(holdings.get(message.domain) or EMPTY, limits.reconcile_bytes_max)
    return Reconcile(message.domain, responder.answer(message.message))


class Reconciliation:
    """The dialler's part. `tally` counts what is said."""

    def __init__(self, holdings: Holdings, limits: LinkLimits, halves: Halves, outbox: Outbox, tally: Tally) -> None:
        self._holdings = holdings
        self._limits = limits
        self._halves = halves
        self._sender = halves.sender
        self._receiver = halves.receiver
        self._outbox = outbox
        self._tally = tally
        self._queue: deque[tuple[str, bool]] = deque()
        self._runs: dict[str, _Run] = {}
        self._suspects: dict[str, MissingIds] = {}
        self._to_give: deque[str] = deque()
        self._unread: deque[Iterator[str]] = deque()  # what follows those, of any length
        self.found = 0
        """Records that repairs found missing."""
        self.finished: list[Reconciled] = []
        """For the link to read and clear."""

    @property
    def is_waiting(self) -> bool:
        """Whether a message of the peer's is due."""
        return any(run.held is None for run in self._runs.values())

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be compared, sent or fetched."""
        return not (self._queue or self._runs or self._to_give or self._unread or self._receiver.wanted)

    @property
    def suspected(self) -> list[str]:
        """Domains whose differences are to be confirmed, by another `begin`."""
        return sorted(self._suspects)

    def is_running(self, domain: str) -> bool:
        """Whether one of ours is under way: then what the peer says of the domain is its answer."""
        return domain in self._runs

    def __contains__(self, domain: object) -> bool:
        return domain in self._runs or any(domain == each for each, _ in self._queue)

    def begin(self, domain: str, *, is_repair: bool) -> None:
        """Reconcile this domain, when its turn comes; not where no way is wanted, nor twice at once."""
        if domain in self:
            return
        if not self._halves.gives(domain) and not self._halves.takes(domain):
            self._suspects.pop(domain, None)
            return
        self._queue.append((domain, is_repair))
        self.go_on()

    def on_reconcile(self, message: Reconcile) -> None:
        """The peer's answer.

        Raises:
            ProtocolError: `malformed`, also where the peer says more than it was asked, or the rounds do not end.
        """
        run = self._runs[message.domain]
        if run.held is not None:
            raise ProtocolError(Code.MALFORMED, f"a reconciliation of {message.domain} that was not asked for")
        self._tally.count(run.asked, message.message)
        reply, have, need = run.initiator.answer(message.message)
        self._find(run, message.domain, (each.hex() for each in have), [each.hex() for each in need])
        if reply is None:
            self._finish(message.domain, run)
        else:
            run.held = reply
        self.go_on()

    def go_on(self) -> None:
        """Do what the backlog allows by now."""
        self._read_on()
        while self._to_give and self._sender.owed < IDS_MAX:
            count = min(IDS_MAX, len(self._to_give))
            self._sender.give([self._to_give.popleft() for _ in range(count)], hops=0)
            self._read_on()
        if self._unread or len(self._to_give) + self._receiver.wanted > _BACKLOG_MAX:
            return
        for domain, run in self._runs.items():
            if run.held is not None:
                self._outbox.send(Reconcile(domain, run.held))
                run.asked, run.held = run.held, None
        while self._queue and len(self._runs) < AT_ONCE_MAX:
            self._start(*self._queue.popleft())

    def _start(self, domain: str, is_repair: bool) -> None:
        index = self._holdings.get(domain) or EMPTY
        initiator = Initiator(index, self._limits.reconcile_bytes_max, self._limits.rounds_max)
        confirming = self._suspects.pop(domain, None)
        first = initiator.initiate()
        self._runs[domain] = _Run(initiator, first, index.newest, MissingIds() if is_repair else None, confirming)
        self._outbox.send(Reconcile(domain, first))

    def _read_on(self) -> None:
        """Have as many ids ready to be given as the backlog allows."""
        while self._unread and len(self._to_give) <= _BACKLOG_MAX:
            page = list(islice(self._unread[0], IDS_MAX))
            self._to_give.extend(page)
            if not page:
                self._unread.popleft()

    def _find(self, run: _Run, domain: str, have: Iterator[str], need: Sequence[str]) -> None:
        lacked = (each for each in have if not self._sender.is_unwelcome(each))
        first = list(islice(lacked, 1)) if self._halves.gives(domain) else []
        have = chain(first, lacked) if first else iter(())
        need = need if self._halves.takes(domain) else ()
        run.have |= bool(first)
        run.need |= bool(need)
        if run.found is None:
            self._act(
                (each for each in have if not self._sender.is_put_off(each)),
                (each for each in need if not self._receiver.is_put_off(each)),
            )
            return
        run.found.have |= dict.fromkeys(islice(have, _SUSPECTS_MAX + 1))
        run.found.need |= dict.fromkeys(need)
        if len(run.found) > _SUSPECTS_MAX:
            self._report(domain, run.found)
            self._act(chain(run.found.have, have), run.found.need)
            run.found = None

    def _without_put_off(self, found: MissingIds) -> MissingIds:
        """What the pass before has just seen refused for now is left to a later repair."""
        return MissingIds(
            {each: None for each in found.have if not self._sender.is_put_off(each)},
            {each: None for each in found.need if not self._receiver.is_put_off(each)},
        )

    def _finish(self, domain: str, run: _Run) -> None:
        del self._runs[domain]
        self._outbox.send(Reconcile(domain, b""))
        if run.found and run.confirming is None:
            self._suspects[domain] = run.found
        elif run.found and run.confirming is not None:
            self._confirm(domain, run.found, run.confirming)
        self.finished.append(Reconciled(domain, run.have, run.need, run.newest))

    def _confirm(self, domain: str, found: MissingIds, before: MissingIds) -> None:
        """Both have found it: it was missed, and not merely on its way."""
        missed = MissingIds(
            {each: None for each in found.have if each in before.have},
            {each: None for each in found.need if each in before.need},
        )
        if missed:
            self._report(domain, missed)
            self._act(iter(missed.have), missed.need)

    def _report(self, domain: str, missed: MissingIds) -> None:
        """What was refused only for now is missing for a reason."""
        unexplained = self._without_put_off(missed)
        if unexplained:
            self.found += len(unexplained)
            self._outbox.put(Found(domain, len(unexplained.have), len(unexplained.need)))

    def _act(self, have: Iterator[str], need: Iterable[str]) -> None:
        """`have` may go on long after the call: it is read as it can be sent."""
        self._unread.append(have)
        self._receiver.want(need)
