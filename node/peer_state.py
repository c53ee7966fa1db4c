"""Peer state: one word for how this node gets on with one peer, with the reason and the remedy if it does not.

Every kind of peer has a state: a peer that this node links with, a peer that it syncs with over plain HTTP, and a peer
that only dials this node. Health, metrics, `GET /peers`, the commands and the page all show this state. The links and
the sync report facts, and `decide` alone makes a state of them. So no two places can tell different stories.

An `Outage` lasts from the first failure until something succeeds. It remembers since when a peer fails, and when the
log should say so: at the first failure, and then once an hour, because a peer may be down for days.
"""

from enum import StrEnum
from typing import Final

import msgspec

from node.store.contract import Peer
from protocol.errors import INVALID, Code
from protocol.link.status import LinkState

LOG_AGAIN_S: Final = 3_600.0
"""Seconds until a failure that goes on is logged again."""

STEADY_S: Final = 10.0
"""A link that lasted this many seconds was no failure, whatever ended it. A guess."""

FLAPS_MAX: Final = 3
"""So many short links in a row are an outage, although a link opens again and again."""

_NEEDS_PERSON: Final = INVALID | {
    Code.UNAUTHORIZED,
    Code.DUPLICATE_KEY,
    Code.UNSUPPORTED_VERSION,
    Code.TOO_OLD,
    Code.NOT_OWNER,
    Code.NOT_WELCOME,
    Code.QUOTA_EXCEEDED,
}
"""Codes of failures that no further try mends: a wrong key, another version, a clock that is wrong, invalid records."""


class Condition(StrEnum):
    """How this node gets on with a peer. In `failing` and `refused`, `PeerState.error` says why."""

    IDLE = "idle"
    """This node does nothing with the peer by itself: neither push nor pull is set, or `sync_interval` is none."""

    AWAY = "away"
    """The peer only dials this node, and has no link now."""

    CONNECTING = "connecting"
    """No try has ended yet."""

    CATCHING_UP = "catching_up"
    """A link is open, and the two nodes exchange what one of them lacks."""

    LIVE = "live"
    """A link is open and carries new records at once."""

    BEHIND = "behind"
    """A link is open, and the peer does not keep up with what it is sent."""

    SYNCING = "syncing"
    """The last sync over plain HTTP succeeded, in each direction that the peer is set for."""

    FAILING = "failing"
    """The peer cannot be reached, or ends what this node begins. The node tries again and again."""

    REFUSED = "refused"
    """One of the two nodes refuses the other. Somebody has to change something."""


class PeerFailure(msgspec.Struct, frozen=True):
    """Why a peer fails.

    `code` is None if no code says it. `reason` is for people. `since_s` is when the outage began, in seconds since the
    Unix epoch.
    """

    code: str | None
    reason: str
    since_s: float


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the parts of a node know of one peer.

    `link` is the state of the open link, None if no link is open. `failure` is that of the present outage. `is_synced`:
    the last sync over plain HTTP succeeded. `is_tried`: this node turns to the peer by itself.
    """

    link: LinkState | None = None
    failure: PeerFailure | None = None
    is_synced: bool = False
    is_tried: bool = False


class PeerState(msgspec.Struct, frozen=True):
    """The state of a peer. `error`, `since_s` and `remedy` are None unless the peer fails or is refused."""

    state: Condition
    error: str | None = None
    since_s: float | None = None
    remedy: str | None = None

    @property
    def is_trouble(self) -> bool:
        """Whether an operator should know."""
        return self.state in (Condition.FAILING, Condition.REFUSED)

    def failing_s(self, now_s: float) -> float:
        """For how many seconds the peer has been failing or refused; 0 if it is not."""
        return 0.0 if self.since_s is None else max(0.0, now_s - self.since_s)


def decide(peer: Peer, facts: Facts) -> PeerState:
    """The state of a peer. An open link outweighs a failure, because any link carries everything."""
    if facts.link is not None:
        return PeerState(Condition(facts.link.value))
    failure = facts.failure
    if failure is not None:
        state = Condition.REFUSED if failure.code in _NEEDS_PERSON else Condition.FAILING
        return PeerState(state, failure.reason, failure.since_s, remedy_of(failure.code))
    if facts.is_synced:
        return PeerState(Condition.SYNCING)
    if facts.is_tried:
        return PeerState(Condition.CONNECTING)
    return PeerState(Condition.AWAY if peer.is_accepted else Condition.IDLE)


def remedy_of(code: str | None) -> str:
    """What an operator can do about a failure with this code."""
    match code:
        case Code.UNAUTHORIZED:
            return "ask the peer's operator which key is right, then remove the peer and add it again"
        case Code.DUPLICATE_KEY:
            return "`dnarc doctor` on both nodes says more"
        case Code.UNSUPPORTED_VERSION:
            return "upgrade the older of the two nodes"
        case Code.UNREACHABLE:
            return "the node tries again by itself"
        case Code.TOO_NEW:
            return "run a time service (NTP) on both machines"
        case (
            Code.NOT_OWNER | Code.STALE | Code.TOO_OLD | Code.NOT_WELCOME | Code.QUOTA_EXCEEDED
        ):  # of a peer that treats this node as a client
            return "ask the peer's operator to accept this node: `dnarc peers add --key KEY --accept`"
        case Code.MALFORMED | Code.TOO_LARGE | Code.BAD_SIGNATURE:
            return "ask the peer's operator to look at its log, `dnarc doctor` and its version"
        case Code.OVERLOADED | Code.RATE_LIMITED | Code.STORAGE_FULL | Code.STOPPING | Code.RESTART:
            return "wait: the node tries again; if it lasts, ask the peer's operator"
        case Code.UNKNOWN_DOMAIN:
            return "compare the setting `domains` of the two nodes"
        case _:
            return "check that the peer runs, and that its address is right"


class Outage:
    """The present outage of one peer, or of one direction of it. `failure` is None while all is well."""

    def __init__(self) -> None:
        self.failure: PeerFailure | None = None
        self._logged_s: float | None = None
        self._short_links = 0

    @property
    def is_flapping(self) -> bool:
        """Whether links open and end again within seconds, so that an open link proves nothing yet."""
        return self._short_links >= FLAPS_MAX

    def fail(self, code: str | None, reason: str, now_s: float) -> None:
        """A try has failed. `now_s` is the time of day, in seconds since the Unix epoch."""
        since_s = now_s if self.failure is None else self.failure.since_s
        self.failure = PeerFailure(code, reason, since_s)

    def on_link_open(self) -> None:
        """A link has opened: the outage is over, unless links flap."""
        if not self.is_flapping:
            self.end()

    def on_link_end(self, code: str | None, reason: str, now_s: float, open_s: float) -> None:
        """A link has ended, or could not be made. `open_s` says for how many seconds it was open, 0 if it never was."""
        if open_s >= STEADY_S:
            self._short_links = 0
            self.end()
        elif open_s > 0:
            self._short_links += 1
        self.fail(code, reason, now_s)

    def end(self) -> None:
        """A try has succeeded."""
        self.failure, self._logged_s = None, None

    def is_log_due(self, now_s: float) -> bool:
        """Whether to log the failure now. Then the next call returns True after `LOG_AGAIN_S` seconds."""
        is_recent = self._logged_s is not None and 0 <= now_s - self._logged_s < LOG_AGAIN_S
        if not is_recent:
            self._logged_s = now_s
        return not is_recent
