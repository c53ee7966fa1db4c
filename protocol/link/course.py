"""Everything that can happen on an open link: the states of each domain, the states of a repair, and two tables.

The parts of a link (sender, receiver, passes, reconciliation, repair) report events. A table says which state and
which action follow, and the session carries out the action. The tables are complete: whatever a peer sends, and in
whatever order, no pair of state and event outside them occurs, so such a pair is a fault of this program and fails an
assertion. No part keeps a flag that a state already says. The form is that of h11's `_state.py`.

**A domain.** Each side sends a list of its domains with the number and the fingerprint of the records in each. If the
two differ in a domain, every wanted direction has one *pass* through it: its sender sends all records from the cursor
on, oldest first, and then says `caught_up`. When all passes of the domain are over, this side compares what both hold.
If they still differ, the dialler *reconciles* the domain: that finds what no cursor can.

    UNKNOWN --first list--> SAME
       |
       |                .-> RECEIVING ------------------------.
       +-- first list --+-> SENDING --------------------------+
                        +-> CROSSING --> RECEIVING | SENDING -+-> CHECKING --> SAME
                        +-> RECEIVING_FIRST --> SENDING_LAST -+       |
                        '-------------------------------------'       '--> RECONCILING --> DIFFERENT

    SAME <--later lists--> DIFFERENT                 SAME | DIFFERENT --repair--> RECONCILING --> DIFFERENT

RECEIVING_FIRST exists because cursors count whole seconds, so both passes resend the records of their last second. A
side that has nothing newer than its cursor lets the peer's pass run first and skips what that pass brought. Its own
`caught_up` then tells the peer what it holds after both passes, so both sides know whether they agree.

Records that are written while the link is open, and records that a peer asked for by id, change no state.

**A repair.** From time to time the dialler compares all domains again, because a record can be missed without anybody
noticing. It sends its list, the acceptor answers with its own, and the dialler reconciles the domains that differ. A
record that was on its way during the first reconciliation is not missing, so a second reconciliation must find the
same ids before anything is sent or asked for.

    CATCHING_UP --all domains agreed--> IDLE --time, or asked--> LISTING --same--> IDLE
         |                                                         |
         '--> UNSURE --> DUE --at once--> LISTING                  '--different--> RECONCILING --nothing found--> IDLE
                                                                                        |
                                                        IDLE <-- CONFIRMING <-- SETTLING <--ids found--'

The acceptor runs no repairs. It answers each list with its own, and each message of a reconciliation with the next one.
"""

from collections import deque
from collections.abc import Container, Iterator, Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final


class DomainState(Enum):
    """Where one domain stands."""

    UNKNOWN = auto()
    """The two sides have not compared the domain."""

    RECEIVING = auto()
    """The peer's pass is due. If this node pulls, it has asked for the pass; otherwise the peer begins it."""

    SENDING = auto()
    """Our pass is due. If the peer pulls, it asks for the pass; otherwise the pass has begun."""

    CROSSING = auto()
    """Both passes are due, and neither waits for the other."""

    RECEIVING_FIRST = auto()
    """Both passes are due, and ours begins when the peer's is over."""

    SENDING_LAST = auto()
    """Our pass is due, and the peer's pass was over before ours began."""

    CHECKING = auto()
    """The passes are over. Lasts only while the session compares what both sides hold."""

    RECONCILING = auto()
    """The dialler reconciles the domain, or will do so when its turn comes."""

    SAME = auto()
    """Both sides held the same records at the last comparison."""

    DIFFERENT = auto()
    """The two sides differed at the last comparison, and nothing is being done about it at the moment."""


class DomainEvent(Enum):
    """What a part of the link reports about one domain."""

    SAME = auto()
    """The peer's list came, or the passes are over: both sides hold the same."""

    DIFFERENT = auto()
    """A later list of the peer came, or the passes are over: the two sides differ."""

    NEEDS_INBOUND = auto()
    """The first list came: the two differ, and only the peer has a pass to send."""

    NEEDS_OUTBOUND = auto()
    """The first list came: the two differ, and only this side has a pass to send."""

    NEEDS_BOTH = auto()
    """The first list came: the two differ, and both sides have a pass to send."""

    NEEDS_INBOUND_FIRST = auto()
    """The first list came: the two differ, both sides have a pass to send, and ours brings nothing new by itself."""

    NEEDS_NO_PASS = auto()
    """The first list came: the two differ, and neither side has a pass to send."""

    RECEIVED = auto()
    """A pass of the peer is over, and all its records are committed here or refused."""

    SENT = auto()
    """A pass of ours is over, and the peer has acknowledged all of it; or the peer does not keep the domain."""

    LAPSED = auto()
    """The peer should have begun a pass by itself, and did not for `idle_s` seconds."""

    SAID_SAME = auto()
    """The peer said `caught_up`, and it holds what this node holds."""

    SAID_DIFFERENT = auto()
    """The peer said `caught_up`, and it does not hold what this node holds."""

    REPAIR = auto()
    """The repair wants the domain reconciled, for the first or for the second time."""

    RECONCILED = auto()
    """The reconciliation is over."""

    NOT_RECONCILED = auto()
    """This side does not reconcile the domain: it is the acceptor, or no direction is wanted."""


class DomainAction(Enum):
    """What the session does about one domain. Some actions give the next event at once."""

    NOTHING = auto()

    BEGIN_INBOUND = auto()
    """Ask the peer for its pass, if this node pulls."""

    BEGIN_OUTBOUND = auto()
    """Begin our pass, if the peer does not pull."""

    BEGIN_BOTH = auto()
    """BEGIN_INBOUND, then BEGIN_OUTBOUND."""

    COMPARE = auto()
    """Compare what both sides hold. The peer may not know the result, so the repair becomes UNSURE. Gives SAME or
    DIFFERENT."""

    COMPARE_AGREED = auto()
    """Compare what both sides hold. The peer knows the result too. Gives SAME or DIFFERENT."""

    SETTLE = auto()
    """Both sides hold the same: move both cursors to the newest record."""

    RECONCILE = auto()
    """Reconcile, and send and ask for what is missing as it is found. The repair becomes UNSURE. May give
    NOT_RECONCILED."""

    REPAIR = auto()
    """Reconcile, and collect what is missing. May give NOT_RECONCILED."""


class RepairState(Enum):
    """Where the dialler's repairs stand."""

    CATCHING_UP = auto()
    """The first passes and reconciliations are under way. In each domain that is done, both sides know that they
    agree."""

    UNSURE = auto()
    """As CATCHING_UP, but in at least one domain the two sides differed, or only one side knows that they agree."""

    DUE = auto()
    """The first comparison follows the catch-up at once."""

    IDLE = auto()
    """The next comparison has its time."""

    LISTING = auto()
    """Our list was sent, and the acceptor has not answered with its own."""

    RECONCILING = auto()
    """The domains that differ are being reconciled."""

    SETTLING = auto()
    """Something was missing. Records that are on their way have `settle_s` seconds to arrive."""

    CONFIRMING = auto()
    """The domains in which something was missing are being reconciled again; what is missing twice is sent."""


class RepairEvent(Enum):
    """What happens to the dialler's repairs."""

    UNSURE = auto()
    """A domain's catch-up has not shown to both sides that they agree."""

    ENDED = auto()
    """No pass and no reconciliation is under way, and everything that they found is sent or fetched."""

    SUSPECTED = auto()
    """As ENDED, and the reconciliations found ids that one side lacks."""

    TIME = auto()
    """The time that the last action set has come."""

    ASKED = auto()
    """The node wants a comparison now."""

    LISTED_SAME = auto()
    """A list of the acceptor came, asked for or not, and no domain differs."""

    LISTED_DIFFERENT = auto()
    """A list of the acceptor came, asked for or not, and some domains differ."""


class RepairAction(Enum):
    """What the repair does."""

    NOTHING = auto()

    LIST = auto()
    """Send our list."""

    RECONCILE = auto()
    """Report REPAIR for each domain that differs."""

    WAIT = auto()
    """Set the time to `settle_s` seconds from now."""

    CONFIRM = auto()
    """Report REPAIR for each domain in which ids were missing."""

    COMPARE_AT_ONCE = auto()
    """Set the time to now."""

    COMPARE_FIRST = auto()
    """Set the time to `settle_s` seconds from now, so that records still being committed when the link opened are
    included."""

    COMPARE_SOON = auto()
    """Set the time to `settle_s` seconds from now, and to twice as long each time up to `repair_s`."""

    COMPARE_LATE = auto()
    """Set the time to `repair_s` seconds from now."""


_S, _E, _A = DomainState, DomainEvent, DomainAction

PASSING: Final = frozenset({_S.RECEIVING, _S.SENDING, _S.CROSSING, _S.RECEIVING_FIRST, _S.SENDING_LAST})
"""The states in which a pass is due."""

_RESTING: Final = frozenset({_S.UNKNOWN, _S.SAME, _S.DIFFERENT})


def _staying(state: DomainState) -> dict[DomainEvent, tuple[DomainState, DomainAction]]:
    """Events that never end a pass or a reconciliation: further lists, and passes for which nobody waited."""
    ignored = dict.fromkeys((_E.DIFFERENT, _E.SAID_SAME, _E.SAID_DIFFERENT, _E.RECEIVED, _E.SENT), (state, _A.NOTHING))
    return ignored | {_E.SAME: (state, _A.SETTLE)}


def _resting(state: DomainState) -> dict[DomainEvent, tuple[DomainState, DomainAction]]:
    """The moves of a domain for which nothing is due."""
    return {
        _E.SAME: (_S.SAME, _A.SETTLE),
        _E.DIFFERENT: (_S.DIFFERENT, _A.NOTHING),
        _E.SAID_SAME: (_S.SAME, _A.NOTHING),
        _E.SAID_DIFFERENT: (_S.DIFFERENT, _A.NOTHING),
        _E.RECEIVED: (state, _A.NOTHING),
        _E.SENT: (state, _A.NOTHING),
        _E.REPAIR: (_S.RECONCILING, _A.REPAIR),
    }


DOMAIN_COURSE: Final[Mapping[DomainState, Mapping[DomainEvent, tuple[DomainState, DomainAction]]]] = MappingProxyType(
    {
        _S.UNKNOWN: _resting(_S.UNKNOWN)
        | {
            _E.NEEDS_INBOUND: (_S.RECEIVING, _A.BEGIN_INBOUND),
            _E.NEEDS_OUTBOUND: (_S.SENDING, _A.BEGIN_OUTBOUND),
            _E.NEEDS_BOTH: (_S.CROSSING, _A.BEGIN_BOTH),
            _E.NEEDS_INBOUND_FIRST: (_S.RECEIVING_FIRST, _A.BEGIN_INBOUND),
            _E.NEEDS_NO_PASS: (_S.CHECKING, _A.COMPARE),
        },
        _S.RECEIVING: _staying(_S.RECEIVING)
        | {
            _E.RECEIVED: (_S.CHECKING, _A.COMPARE),
            _E.LAPSED: (_S.CHECKING, _A.COMPARE),
        },
        _S.SENDING: _staying(_S.SENDING)
        | {
            _E.SENT: (_S.CHECKING, _A.COMPARE),
            _E.LAPSED: (_S.CHECKING, _A.COMPARE),
        },
        _S.CROSSING: _staying(_S.CROSSING)
        | {
            _E.RECEIVED: (_S.SENDING, _A.NOTHING),
            _E.SENT: (_S.RECEIVING, _A.NOTHING),
            _E.LAPSED: (_S.CHECKING, _A.COMPARE),
        },
        _S.RECEIVING_FIRST: _staying(_S.RECEIVING_FIRST)
        | {
            _E.RECEIVED: (_S.SENDING_LAST, _A.BEGIN_OUTBOUND),
            _E.SENT: (_S.RECEIVING, _A.NOTHING),
            _E.LAPSED: (_S.CHECKING, _A.COMPARE),
        },
        _S.SENDING_LAST: _staying(_S.SENDING_LAST)
        | {
            _E.SENT: (_S.CHECKING, _A.COMPARE_AGREED),
            _E.LAPSED: (_S.CHECKING, _A.COMPARE_AGREED),
        },
        _S.CHECKING: {
            _E.SAME: (_S.SAME, _A.SETTLE),
            _E.DIFFERENT: (_S.RECONCILING, _A.RECONCILE),
        },
        _S.RECONCILING: _staying(_S.RECONCILING)
        | {
            _E.RECONCILED: (_S.DIFFERENT, _A.NOTHING),
            _E.NOT_RECONCILED: (_S.DIFFERENT, _A.NOTHING),
        },
        _S.SAME: _resting(_S.SAME),
        _S.DIFFERENT: _resting(_S.DIFFERENT),
    }
)
"""What follows from an event of a domain. A missing pair cannot happen."""

_R, _F, _B = RepairState, RepairEvent, RepairAction


def _busy(state: RepairState) -> dict[RepairEvent, tuple[RepairState, RepairAction]]:
    """A comparison is due or under way, so a wish for one and further lists change nothing."""
    return dict.fromkeys((_F.ASKED, _F.LISTED_SAME, _F.LISTED_DIFFERENT), (state, _B.NOTHING))


REPAIR_COURSE: Final[Mapping[RepairState, Mapping[RepairEvent, tuple[RepairState, RepairAction]]]] = MappingProxyType(
    {
        _R.CATCHING_UP: _busy(_R.CATCHING_UP)
        | {
            _F.UNSURE: (_R.UNSURE, _B.NOTHING),
            _F.ENDED: (_R.IDLE, _B.COMPARE_FIRST),
        },
        _R.UNSURE: _busy(_R.UNSURE)
        | {
            _F.UNSURE: (_R.UNSURE, _B.NOTHING),
            _F.ENDED: (_R.DUE, _B.COMPARE_AT_ONCE),
        },
        _R.DUE: _busy(_R.DUE) | {_F.TIME: (_R.LISTING, _B.LIST)},
        _R.IDLE: {
            _F.TIME: (_R.LISTING, _B.LIST),
            _F.ASKED: (_R.LISTING, _B.LIST),
            _F.LISTED_SAME: (_R.IDLE, _B.NOTHING),
            _F.LISTED_DIFFERENT: (_R.RECONCILING, _B.RECONCILE),
        },
        _R.LISTING: {
            _F.ASKED: (_R.LISTING, _B.NOTHING),
            _F.LISTED_SAME: (_R.IDLE, _B.COMPARE_LATE),
            _F.LISTED_DIFFERENT: (_R.RECONCILING, _B.RECONCILE),
        },
        _R.RECONCILING: _busy(_R.RECONCILING)
        | {
            _F.ENDED: (_R.IDLE, _B.COMPARE_SOON),
            _F.SUSPECTED: (_R.SETTLING, _B.WAIT),
        },
        _R.SETTLING: _busy(_R.SETTLING) | {_F.TIME: (_R.CONFIRMING, _B.CONFIRM)},
        _R.CONFIRMING: _busy(_R.CONFIRMING) | {_F.ENDED: (_R.IDLE, _B.COMPARE_SOON)},
    }
)
"""What follows from an event of the repairs. A missing pair cannot happen."""


class Course:
    """The states of one open link, and the events that its parts have reported and nobody has handled yet."""

    def __init__(self) -> None:
        self.repair = RepairState.CATCHING_UP
        self._domains: dict[str, DomainState] = {}
        self._passing: dict[str, None] = {}
        self._reports: deque[tuple[str, DomainEvent]] = deque()

    @property
    def passing(self) -> list[str]:
        """The domains in which a pass is due, in the order in which they began."""
        return list(self._passing)

    @property
    def is_passing(self) -> bool:
        """Whether a pass is due in any domain."""
        return bool(self._passing)

    def domain(self, domain: str) -> DomainState:
        return self._domains.get(domain, DomainState.UNKNOWN)

    def report(self, domain: str, event: DomainEvent) -> None:
        """Note an event of a domain. The session handles it when the call that brought it has done its work, so that
        no part is called while it is still changing.
        """
        self._reports.append((domain, event))

    def reports(self) -> Iterator[tuple[str, DomainEvent]]:
        """Take the reported events, oldest first, with those that are reported meanwhile."""
        while self._reports:
            yield self._reports.popleft()

    def on_domain(self, domain: str, event: DomainEvent) -> DomainAction:
        """Move a domain on; returns what to do about it."""
        before = self.domain(domain)
        moves = DOMAIN_COURSE[before]
        assert event in moves, f"{event} in the state {before}"
        after, action = moves[event]
        if after is not before:
            self._domains[domain] = after
            if after in PASSING:
                self._passing[domain] = None
            else:
                self._passing.pop(domain, None)
        return action

    def on_repair(self, event: RepairEvent) -> RepairAction:
        """Move the repairs on; returns what to do."""
        moves = REPAIR_COURSE[self.repair]
        assert event in moves, f"{event} in the state {self.repair}"
        self.repair, action = moves[event]
        return action

    def __len__(self) -> int:
        """Domains whose state is remembered."""
        return len(self._domains)

    def forget_all_but(self, domains: Container[str]) -> None:
        """Forget the domains that neither side lists any more, because a peer can make up names without end."""
        self._domains = {
            domain: state for domain, state in self._domains.items() if domain in domains or state not in _RESTING
        }
