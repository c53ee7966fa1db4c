"""What comes in: the bytes of a record, who brought them, and how."""

from typing import Final

import msgspec

from protocol.records.admission import Precondition, Trust


class Submission(msgspec.Struct, frozen=True, gc=False):
    """A record as it came: its signature, and its bytes in any JSON spelling."""

    signature: str
    body: bytes


class Origin(msgspec.Struct, frozen=True):
    """Who brought a submission, and on what condition.

    `address` is an IP address or a peer's name. Quotas count under it; a source without an address is exempt.
    `precondition` is what the client demands of the label's head, None: nothing.
    """

    trust: Trust
    address: str | None = None
    precondition: Precondition | None = None


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
