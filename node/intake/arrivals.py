"""What comes in: the bytes of a record, and who brought them."""

import msgspec

from protocol.records.admission import Trust


class Submission(msgspec.Struct, frozen=True, gc=False):
    """A record as it came: its signature, and its bytes in any JSON spelling."""

    signature: str
    body: bytes


class Origin(msgspec.Struct, frozen=True):
    """Where a submission came from.

    `address` is an IP address or a peer's name. Quotas count under it; a source without an address is exempt.
    `if_match` is the head's id that the client demands (`*`: any head), None: no demand. `waits`: the source waits
    while the pipeline is full (a peer that is not read meanwhile), instead of being told `overloaded`.

    `link` is the number of the link that brought the submission, None for everything else. What comes over a link is in
    canonical bytes, or it is refused. `hops` is the number of links that the record has crossed. `is_news`: a client
    wrote the record just now, or a peer pushed it as live. Records of a catch-up or an import are not news.
    """

    trust: Trust
    address: str | None = None
    if_match: str | None = None
    waits: bool = False
    link: int | None = None
    hops: int = 0
    is_news: bool = True
