"""What can go wrong between a client and a node. Every error has a stable `code`, a reason, and perhaps a remedy.

    ClientError
    ├── Unreachable    no node answers, or its answer broke off
    ├── NodeError      the node refused the request
    │   └── Refused    the node refused this record
    │       └── Conflict   another record is the head than the one that this record follows
    └── Untrusted      the node shows what cannot be true

The codes of a `NodeError` are those of the protocol (`protocol.errors.Code`). A program in front of the node that
refuses the request, such as a proxy, is told by its status: `http_403`, for example.
"""

from typing import Any, Final

from protocol.errors import Code
from protocol.records.record import SignedRecord

HEAD_LOST: Final = "head_lost"
"""The code if a node no longer shows a record that it showed before."""

VERDICTS_DIFFER: Final = "verdicts_differ"
"""The code if a node shows another head, owner or verdict than its own records give."""


class ClientError(Exception):
    """The base of all errors of the client. The text is for people; programs branch on `code`.

    `remedy` says what to do; None if the code says enough.
    """

    def __init__(self, code: str, text: str, remedy: str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.remedy = remedy


class Unreachable(ClientError):  # noqa: N818 - the word for the state, as in `Code.UNREACHABLE`
    """No node answers there, or it stopped in the middle of an answer. The text is the reason, `remedy` what to do.

    `is_passing`: the same request may succeed a moment later. What answers there may also be no node at all.
    """

    remedy: str

    def __init__(
        self, reason: str, remedy: str = "check that the URL is that of a dnarc node", *, is_passing: bool = False
    ) -> None:
        super().__init__(Code.UNREACHABLE, reason, remedy)
        self.is_passing = is_passing


class NodeError(ClientError):
    """The request was refused: a stable `code`, what the node says of it, and the facts beside that.

    `remedy` is None if the node itself answered. If another program did, such as a proxy, it says what to do.
    """

    def __init__(self, status: int, code: str, detail: str, facts: dict[str, Any], remedy: str | None = None) -> None:
        super().__init__(code, f"{code}: {detail}", remedy)
        self.status = status
        self.detail = detail
        self.facts = facts


class Refused(NodeError):  # noqa: N818 - the word for the state, as in `Status.REFUSED`
    """The node refused this record, and stored nothing. `signed` is the record."""

    def __init__(self, status: int, outcome: dict[str, Any], signed: SignedRecord) -> None:
        facts = {name: value for name, value in outcome.items() if name not in ("status", "code", "detail")}
        super().__init__(status, str(outcome.get("code")), str(outcome.get("detail")), facts)
        self.signed = signed


class Conflict(Refused):
    """Somebody else wrote first: the head of the label is not the record that this record follows.

    The code is `precondition_failed`, `stale` or `not_owner`. Read the label again, decide, and write again.
    """


class Untrusted(ClientError):  # noqa: N818 - the word for the node
    """The node shows what cannot be true: it lies, its data is damaged, or an older copy of it was restored.

    The code is `bad_signature`, `malformed`, `head_lost` or `verdicts_differ`.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, f"{code}: {detail}", "ask another node, and tell the operator of this one")
        self.detail = detail
