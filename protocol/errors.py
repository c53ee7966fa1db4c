"""One error for whatever a client or a peer did wrong, with a code that stays the same for ever.

Who is at fault decides the type. Outside: `ProtocolError`. Us: `assert`, never caught. The machine (a disk, a socket):
its own error, let through. Codes are part of the contract: programs branch on them, people read `detail`, which says
what is wrong and what would be right. Which HTTP status or WebSocket close code goes with a code is known to the layer
that speaks it.
"""

from enum import StrEnum


class Code(StrEnum):
    """Why something was refused. A record is checked in this order, and the first check that fails names the code."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNKNOWN_DOMAIN = "unknown_domain"
    BAD_SIGNATURE = "bad_signature"
    PRECONDITION_FAILED = "precondition_failed"
    TOO_NEW = "too_new"
    TOO_OLD = "too_old"
    NOT_OWNER = "not_owner"
    STALE = "stale"

    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    STORAGE_FULL = "storage_full"

    UNKNOWN_LABEL = "unknown_label"
    UNKNOWN_RECORD = "unknown_record"
    UNKNOWN_PEER = "unknown_peer"
    UNKNOWN_ROUTE = "unknown_route"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNAUTHORIZED = "unauthorized"
    CURSOR_UNKNOWN = "cursor_unknown"
    UNREACHABLE = "unreachable"

    TIMEOUT = "timeout"
    UNSUPPORTED_VERSION = "unsupported_version"
    DUPLICATE_LINK = "duplicate_link"
    RESTART = "restart"
    STOPPING = "stopping"


TRANSIENT = frozenset({Code.TOO_NEW, Code.RATE_LIMITED, Code.OVERLOADED, Code.STORAGE_FULL})
"""Refusals that time may lift: a sender keeps such a record and offers it again."""

_CODES = frozenset(Code)


def refusal_code(text: str | None) -> Code:
    """The code of a peer's refusal. A code that this version does not know counts as `stale`, a refusal for good."""
    return Code(text) if text in _CODES else Code.STALE


class ProtocolError(Exception):
    """A client's or a peer's mistake.

    `code` is stable; `detail` is one sentence for people; `facts` holds what a program needs to do better, as JSON
    values (the head's id and timestamp, the server's time, a limit).
    """

    def __init__(self, code: Code, detail: str, **facts: object) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.facts = facts

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"
