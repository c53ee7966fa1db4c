"""Errors: one class for every mistake of a client or a peer, with a code that never changes.

The type of an error says who is at fault. A client or a peer: `ProtocolError`. Our own code: `assert`, which nothing
catches. The machine (a disk, a socket): its own error, which passes through. Codes are part of the contract, because
programs branch on them. People read `detail`, which says what is wrong and what would be right. The HTTP API alone
knows the HTTP status of a code, and the link layer its WebSocket close code.
"""

from enum import StrEnum


class Code(StrEnum):
    """Why something was refused. A record is checked in the order of the first group; the first check that fails gives
    the code.
    """

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNKNOWN_DOMAIN = "unknown_domain"
    BAD_SIGNATURE = "bad_signature"
    NOT_WELCOME = "not_welcome"
    PRECONDITION_FAILED = "precondition_failed"
    TOO_NEW = "too_new"
    TOO_OLD = "too_old"
    NOT_OWNER = "not_owner"
    STALE = "stale"
    QUOTA_EXCEEDED = "quota_exceeded"

    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    STORAGE_FULL = "storage_full"

    UNKNOWN_LABEL = "unknown_label"
    NOT_FINAL = "not_final"
    UNKNOWN_RECORD = "unknown_record"
    ERASED = "erased"
    NOT_ERASABLE = "not_erasable"
    UNKNOWN_PEER = "unknown_peer"
    UNKNOWN_ROUTE = "unknown_route"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNAUTHORIZED = "unauthorized"
    CURSOR_UNKNOWN = "cursor_unknown"
    UNREACHABLE = "unreachable"

    TIMEOUT = "timeout"
    UNSUPPORTED_VERSION = "unsupported_version"
    DUPLICATE_LINK = "duplicate_link"
    DUPLICATE_KEY = "duplicate_key"
    RESTART = "restart"
    STOPPING = "stopping"


TRANSIENT = frozenset({Code.TOO_NEW, Code.RATE_LIMITED, Code.OVERLOADED, Code.STORAGE_FULL})
"""Refusals that may end with time. A sender keeps such a record and offers it again."""

INVALID = frozenset({Code.MALFORMED, Code.TOO_LARGE, Code.BAD_SIGNATURE})
"""Refusals that depend on the bytes of a record alone, so that no honest peer can hold that record."""

_CODES = frozenset(Code)


def refusal_code(text: str | None) -> Code:
    """The code of a peer's refusal. A code that this version does not know counts as `stale`, a refusal for good."""
    return Code(text) if text in _CODES else Code.STALE


class ProtocolError(Exception):
    """A client's or a peer's mistake.

    `code` is stable. `detail` is one sentence for people. `facts` holds what a program needs to do better next time, as
    JSON values (for example the head's id and timestamp, the server's time, a limit).
    """

    def __init__(self, code: Code, detail: str, **facts: object) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.facts = facts

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"
