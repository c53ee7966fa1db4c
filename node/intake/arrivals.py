"""What comes in and what is said of it: the values at both ends of the ingest pipeline."""

from enum import StrEnum

import msgspec

from protocol.errors import Code, ProtocolError
from protocol.records.admission import Trust
from protocol.records.record import Record
from protocol.records.replay import Verdict


class Submission(msgspec.Struct, frozen=True, gc=False):
    """A record as it came: the bytes in any JSON spelling, and the signature that came with it.

    `record` is what the bytes spell, where whoever hands it in has decoded them already.
    """

    signature: str
    body: bytes
    record: Record | None = None


class Origin(msgspec.Struct, frozen=True):
    """Where a submission came from.

    `address` is an IP address or a peer's name; quotas are counted under it, None: exempt. `if_match` is the head's id
    that the client demands (`*`: any head), None: no demand. `waits`: the source is made to wait while the pipeline is
    full (a peer that is simply not read), instead of being told `overloaded`.

    `link` is the number of the link that it came over, None for everything else; `hops` how many links it has crossed.
    `is_news`: a client wrote it just now, or somebody pushed it as such; catch-ups and imports bring none.
    """

    trust: Trust
    address: str | None = None
    if_match: str | None = None
    waits: bool = False
    link: int | None = None
    hops: int = 0
    is_news: bool = True


class Status(StrEnum):
    """The three ends of a submission, as answers name them."""

    ACCEPTED = "accepted"
    KNOWN = "known"
    REFUSED = "refused"


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What became of one submission.

    `accepted`: taken and committed, with the verdict of replay (which may still be `rival`, say, in the peer class);
    `known`: was here already; `refused`: not stored, with a stable code, a sentence, and facts that help to do better.
    """

    signature: str
    status: Status
    id: str | None = None
    verdict: Verdict | None = None
    code: Code | None = None
    detail: str | None = None
    facts: dict[str, object] = msgspec.field(default_factory=dict)

    @classmethod
    def refused(cls, signature: str, error: ProtocolError, record_id: str | None = None) -> "Outcome":
        return cls(signature, Status.REFUSED, record_id, None, error.code, error.detail, error.facts)

    def as_json(self) -> dict[str, object]:
        """The body of an answer: what is known of it, the facts beside the rest, nothing that is None."""
        known = {
            "status": self.status,
            "id": self.id,
            "verdict": self.verdict,
            "code": self.code,
            "detail": self.detail,
        }
        return {name: value for name, value in known.items() if value is not None} | self.facts
