"""Publishing: sign the record that follows the head of a label, and hand it to a node.

Each record of a label is newer than the head, by a whole second at least. An owner that writes faster than once per
second therefore signs timestamps that run ahead of the clock, and at `max_skew` seconds (300 by default) a node refuses
the next record as `too_new`. The record itself is good and only early, so a client waits until the node's clock comes
near enough, and then sends the same record again.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from node.client.answers import Answer, NodeSummary, refusal
from node.client.conversation import NO_HEADERS, NO_RETRY, Conversation, Pause, Request, Retry, ask_again
from node.client.errors import Unreachable
from node.client.targets import path_of
from protocol.errors import Code
from protocol.records.record import SignedRecord, is_witnessed, make, sign
from protocol.signing import SigningKey

WAIT_S_MIN: Final = 0.05
"""Between two tries: enough that a node whose clock was just set back is not asked in a busy loop."""

FINAL_WAIT_S_MAX: Final = 30.0
"""Seconds that a node waits at most before it answers whether a record is final. Then the client asks once more."""


class Outcome(msgspec.Struct, frozen=True):
    """What the node says of a record: the status of its answer, and the fields beside it.

    Fields are `status` (`accepted`, `known` or `refused`), `code`, `detail`, `verdict`, `certainty`, and facts.
    """

    http_status: int
    fields: dict[str, Any]

    @property
    def code(self) -> str | None:
        """Why the record was refused; None if it was not."""
        return self.fields.get("code") if self.fields.get("status") == "refused" else None

    @property
    def certainty(self) -> str | None:
        return self.fields.get("certainty")


def sign_next(head: SignedRecord | None, key: SigningKey, content: dict[str, Any], now: int) -> SignedRecord:
    """The signed record with this content that follows the head. `content` names the domain and the label.

    Raises:
        ProtocolError: these fields are no record.
    """
    after = 0 if head is None else head.record.timestamp + 1
    fields = content | {"signedby": key.public, "timestamp": max(now, after)}
    return sign(make(fields if head is None else fields | {"prev": head.record.id}), key)


def put(
    signed: SignedRecord, wait_s: float = 0, retry: Retry = NO_RETRY, condition: Mapping[str, str] = NO_HEADERS
) -> Conversation[Outcome]:
    """What the node says of the record. A refusal of this record is an outcome too.

    In a witnessed domain, the node answers when the record is final or lost, or after `wait_s`, in seconds. `condition`
    are headers, as `must_follow` gives them.

    Raises:
        NodeError: the node refuses the request as a whole.
        Unreachable: no node answers there.
    """
    wait_s = min(wait_s, FINAL_WAIT_S_MAX) if is_witnessed(signed.record.domain) and wait_s >= 1 else 0.0
    headers = dict(condition) | ({"Prefer": f"wait={int(wait_s)}"} if wait_s else {})
    path = path_of("claims", signed.signature)
    request = Request("PUT", path, body=signed.record.canonical, headers=headers, wait_s=wait_s)
    return outcome_in((yield from ask_again(request, retry)), signed)


def outcome_in(answer: Answer, signed: SignedRecord) -> Outcome:
    """The outcome of the record in an answer. Raises: NodeError: the node refused. Unreachable: it is no node."""
    try:
        outcome = msgspec.json.decode(answer.body, type=dict[str, Any]).get(signed.signature)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        outcome = None
    if not isinstance(outcome, dict):
        if answer.status >= 300:
            raise refusal(answer)
        raise Unreachable("what answers there does not answer as a node does")
    return Outcome(answer.status, outcome)


def must_follow(head: SignedRecord | None) -> dict[str, str]:
    """The condition that this is the head; None: that the label has no head (RFC 9110, section 13.1).

    A record that names its head in `prev` can follow no other. But a record that founds a label names nothing, and
    could follow a head of the same owner by mistake.
    """
    return {"If-None-Match": "*"} if head is None else {"If-Match": f'"{head.record.id}"'}


def put_in_time(
    signed: SignedRecord, wait_s_max: float, retry: Retry = NO_RETRY, condition: Mapping[str, str] = NO_HEADERS
) -> Conversation[Outcome]:
    """What the node says of the record. While the record is `too_new`, wait and send it again.

    If all waits together would be longer than `wait_s_max`, the refusal is returned at once.

    Raises:
        NodeError, Unreachable: as for `put`.
    """
    left_s = wait_s_max
    while True:
        outcome = yield from put(signed, left_s, retry, condition)
        wait_s = yield from _ask_wait_s(signed, outcome, retry)
        if wait_s is None or wait_s > left_s:
            return outcome
        left_s -= wait_s
        yield Pause(wait_s, "the record is too new for the node")


def _ask_wait_s(signed: SignedRecord, outcome: Outcome, retry: Retry) -> Conversation[float | None]:
    """How long a record that was refused as `too_new` has to wait; None for every other outcome."""
    now = outcome.fields.get("now")
    if outcome.code != Code.TOO_NEW or not isinstance(now, int):
        return None
    node = (yield from ask_again(Request("GET", "/node"), retry)).read(NodeSummary)
    max_skew_s = node.limits.max_skew or 0
    return max(WAIT_S_MIN, signed.record.timestamp - max_skew_s - now)
