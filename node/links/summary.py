"""Showing: how the links stand, for `GET /peers` and for whoever watches the figures."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from node.links.opening import is_linked
from node.store.contract import Peer
from protocol.link.status import LinkStatus
from protocol.link.terms import Role

if TYPE_CHECKING:
    from node.links.registry import Links
    from node.links.running_link import Session

DOWN: Final = "down"

DIRECTIONS: Final[Mapping[Role, str]] = {Role.DIALLER: "dialled", Role.ACCEPTOR: "accepted"}
"""Who opened the link, in this node's words."""


def shown(links: "Links", peer: Peer) -> dict[str, object] | None:
    """How the link with this peer stands; None where it has none and is not one to dial.

    `state` is `down`, `catching_up`, `live` or `behind`. While the two catch up, `done` and `total` count the records
    of the domains in which they do; `error` says why the last link ended, while there is none. `differing` is how many
    records one side has more than the other, over all domains: they differ by as many at least.
    """
    session = links.session_of(peer)
    if session is not None and session.is_open:
        return _of_session(session, is_eager=links.dissemination.gossip.is_eager(session.number))
    if not is_linked(peer):
        return None
    ending = links.ending_of(peer)
    return _row(state=DOWN, error=None if ending is None else ending.reason)


def steps(links: "Links", peer: Peer) -> dict[str, str]:
    """Whether the two hold the same, by domain, when they last compared; `unknown` where there is no link."""
    session = links.session_of(peer)
    if session is None or not session.is_open:
        return dict.fromkeys(links.node.indexes.domains(), "unknown")
    return {domain: status.step for domain, status in session.link.status().domains.items()}


def _of_session(session: "Session", *, is_eager: bool) -> dict[str, object]:
    status, counts = session.link.status(), session.counts
    done, total = _progress(status)
    return _row(
        state=status.state,
        direction=DIRECTIONS[status.role],
        agent=status.agent,
        seconds=round(session.open_s, 3),
        done=done,
        total=total,
        is_eager=is_eager,
        sent=status.sent,
        received=status.received,
        queued=status.queued,
        bytes_out=counts.bytes_out,
        bytes_in=counts.bytes_in,
        round_trip_s=counts.round_trip_s,
        differing=sum(abs(each.ours - (each.theirs or 0)) for each in status.domains.values()),
    )


def _progress(status: LinkStatus) -> tuple[int, int] | tuple[None, None]:
    """How many records of how many are held, in the domains that are being caught up; None where none is."""
    under_way = [each for each in status.domains.values() if each.is_catching_up]
    if not under_way:
        return None, None
    return sum(each.ours for each in under_way), sum(max(each.ours, each.theirs or 0) for each in under_way)


def _row(**known: object) -> dict[str, object]:
    return {name: known.get(name) for name in (*_WORDS, *_FIGURES)}


_WORDS: Final = ("state", "direction", "agent", "seconds", "done", "total", "error", "is_eager")
_FIGURES: Final = ("sent", "received", "queued", "bytes_out", "bytes_in", "round_trip_s", "differing")
