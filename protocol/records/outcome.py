"""What became of one record that was offered to a node.

This is the only type for that answer. The pipeline makes it, HTTP shows it, a link acknowledges by it, and a sync moves
its cursor by it.
"""

from enum import StrEnum

import msgspec

from protocol.errors import INVALID, Code, ProtocolError
from protocol.records.record import Record
from protocol.records.replay import Verdict


class Status(StrEnum):
    """The three ends of a submission, as answers name them."""

    ACCEPTED = "accepted"
    KNOWN = "known"
    REFUSED = "refused"


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What became of one record.

    `accepted`: the record is committed. `verdict` is replay's verdict, which may be `rival`, for example, if a peer
    brought the record. `known`: the node held the record already. `refused`: the record is not stored; `code` is
    stable, `detail` is one sentence, and `facts` help the sender to do better. `record` is None if the bytes are not a
    record.
    """

    signature: str
    status: Status
    record: Record | None = None
    verdict: Verdict | None = None
    code: Code | None = None
    detail: str | None = None
    facts: dict[str, object] = msgspec.field(default_factory=dict)

    @classmethod
    def refused(cls, signature: str, error: ProtocolError, record: Record | None = None) -> "Outcome":
        return cls(signature, Status.REFUSED, record, None, error.code, error.detail, error.facts)

    @property
    def id(self) -> str | None:
        return None if self.record is None else self.record.id

    @property
    def is_invalid(self) -> bool:
        """Whether no honest peer can hold this record. A reserved label is refused, but the record is valid."""
        return self.code in INVALID and (self.record is None or not self.record.is_reserved)

    def as_json(self) -> dict[str, object]:
        """The body of an answer: every field that is not None, and the facts beside them."""
        body: dict[str, object] = {"status": self.status}
        if self.record is not None:
            body["id"] = self.record.id
        if self.verdict is not None:
            body["verdict"] = self.verdict
        if self.code is not None:
            body["code"] = self.code
        if self.detail is not None:
            body["detail"] = self.detail
        body.update(self.facts)
        return body
