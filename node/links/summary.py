"""Summary: a link with a peer as `GET /peers` and the commands show it.

`state` is `down`, `catching_up`, `live` or `behind`. `error` says why the last link ended, if there is none now.
`direction` says who opened the link. While the two nodes catch up, `done` of `total` counts the records of the domains
that still differ; otherwise both are None. `differing` sums, over all domains, by how many records one node has more
than the other, so at least this many records are missing somewhere.
"""

from collections.abc import Mapping
from typing import Final

from node.links.running_link import Ending, RunningLink
from protocol.link.status import LinkStatus
from protocol.link.terms import Role

DOWN: Final = "down"

DIRECTIONS: Final[Mapping[Role, str]] = {Role.DIALLER: "dialled", Role.ACCEPTOR: "accepted"}
"""Who opened the link, in this node's words."""

_FIELDS: Final = (
    "state",
    "direction",
    "agent",
    "seconds",
    "done",
    "total",
    "error",
    "is_eager",
    "sent",
    "received",
    "queued",
    "bytes_out",
    "bytes_in",
    "round_trip_s",
    "differing",
)


def link_summary(link: RunningLink, *, is_eager: bool) -> dict[str, object]:
    """An open link. `is_eager`: gossip sends records on it, and not only announcements."""
    status, counts = link.machine.status(), link.counts
    done, total = _progress(status)
    return _with_all_fields(
        state=status.state,
        direction=DIRECTIONS[status.role],
        agent=status.agent,
        seconds=round(link.open_s, 3),
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


def down_summary(ending: Ending | None) -> dict[str, object]:
    """A peer that the node dials and has no open link with. `ending` is that of the last link, None before it."""
    return _with_all_fields(state=DOWN, error=None if ending is None else ending.reason)


def _progress(status: LinkStatus) -> tuple[int, int] | tuple[None, None]:
    """How many records this node holds and how many the fuller side holds, in the domains that are catching up."""
    under_way = [each for each in status.domains.values() if each.is_catching_up]
    if not under_way:
        return None, None
    return sum(each.ours for each in under_way), sum(max(each.ours, each.theirs or 0) for each in under_way)


def _with_all_fields(**known: object) -> dict[str, object]:
    return {name: known.get(name) for name in _FIELDS}
