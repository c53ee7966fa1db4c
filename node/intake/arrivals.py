"""What comes in: the bytes of a record, who brought them, and how."""

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

import msgspec

from protocol.records.admission import Precondition, Trust
from protocol.records.replay import Verdict

_Item = TypeVar("_Item")

_CLIENT: Final = Trust.CLIENT
"""Python 3.11 needs 0.2 us for a member of an enum, and 0.01 us for a global."""


class Submission(msgspec.Struct, frozen=True, gc=False):
    """A record as it came: its signature, and its bytes in any JSON spelling."""

    signature: str
    body: bytes


class Origin(msgspec.Struct, frozen=True):
    """Who brought a submission, and on what condition.

    `address` is an IP address or a peer's name. Quotas count under it; a source without an address is exempt.
    `precondition` is what the client demands of the label's head, None: nothing. `told` is the verdict that the
    operator's program was told when it took the record, None: it was not asked.
    """

    trust: Trust
    address: str | None = None
    precondition: Precondition | None = None
    told: Verdict | None = None


def runs_of(arrivals: Iterable[tuple[_Item, Origin]]) -> Iterator[list[tuple[_Item, Origin]]]:
    """The arrivals in runs that are decided together. A client's record, and a condition, see what came before them.

    So a client's record is a run of its own, and a record with a condition begins a run.
    """
    run: list[tuple[_Item, Origin]] = []
    for item, origin in arrivals:
        if run and (origin.trust is _CLIENT or origin.precondition is not None):
            yield run
            run = []
        run.append((item, origin))
        if origin.trust is _CLIENT:
            yield run
            run = []
    if run:
        yield run


class Delivery(msgspec.Struct, frozen=True):
    """How submissions came.

    `waits`: the source waits while the pipeline is full (a peer that is not read meanwhile), instead of being told
    `overloaded`. `link` is the number of the link that brought them, None for everything else. What comes over a link
    is in canonical bytes, or it is refused. `hops` is the number of links that the records have crossed. `is_live`:
    a client wrote the records just now, or a peer pushed them as live. Records of a catch-up or an import are not live.
    """

    waits: bool = False
    link: int | None = None
    hops: int = 0
    is_live: bool = True


BY_REQUEST: Final = Delivery()
"""A request of a client brought the submissions."""
