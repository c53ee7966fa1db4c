"""Publishing: sign the record that follows the head of a label, and hand it to a node.

Each record of a label is newer than the head, by a whole second at least. An owner that writes faster than once per
second therefore signs timestamps that run ahead of the clock, and at `max_skew` seconds (300 by default) a node refuses
the next record as `too_new`. The record itself is good and only early, so a client waits until the node's clock comes
near enough, and then sends the same record again.
"""

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from node.client.http import NodeClient, Unreachable, path_of
from protocol.errors import Code
from protocol.records.record import SignedRecord, is_witnessed, make, sign
from protocol.signing import SigningKey

WAIT_S_MIN: Final = 0.05
"""Between two tries: enough that a node whose clock was just set back is not asked in a busy loop."""


class Patience(msgspec.Struct, frozen=True):
    """How many seconds to wait in total, and who hears of each wait, in seconds, before it begins."""

    wait_s_max: float
    on_wait: Callable[[float], None]


def sign_next(head: SignedRecord | None, key: SigningKey, content: dict[str, Any], now: int) -> SignedRecord:
    """The signed record with this content that follows the head. `content` names the domain and the label.

    Raises:
        ProtocolError: these fields are no record.
    """
    after = 0 if head is None else head.record.timestamp + 1
    fields = content | {"signedby": key.public, "timestamp": max(now, after)}
    return sign(make(fields if head is None else fields | {"prev": head.record.id}), key)


def put(client: NodeClient, signed: SignedRecord, wait_s: float = 0) -> dict[str, Any]:
    """What the node says of the record. A refusal of this record is an outcome too, with its `code`.

    In a witnessed domain, the node answers when the record is final or lost, or after `wait_s`, in seconds.

    Raises:
        NodeError: the node refuses the request as a whole.
        Unreachable: no node answers there.
    """
    waits = is_witnessed(signed.record.domain) and wait_s >= 1
    headers = {"Prefer": f"wait={int(wait_s)}"} if waits else {}
    path = path_of("claims", signed.signature)
    answer = client.ask("PUT", path, body=signed.record.canonical, headers=headers)
    try:
        outcome = msgspec.json.decode(answer.body, type=dict[str, Any]).get(signed.signature)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        outcome = None
    if not isinstance(outcome, dict):
        answer.check()
        raise Unreachable(f"{client.url} does not answer as a node does")
    return outcome


def put_in_time(client: NodeClient, signed: SignedRecord, patience: Patience) -> dict[str, Any]:
    """What the node says of the record. While the record is `too_new`, wait and send it again.

    If the wait would be longer than `patience` allows, the refusal is returned at once.

    Raises:
        NodeError, Unreachable: as for `put`.
    """
    end_s = time.monotonic() + patience.wait_s_max
    while True:
        outcome = put(client, signed, max(0.0, end_s - time.monotonic()))
        wait_s = _ask_wait_s(client, signed, outcome)
        if wait_s is None or time.monotonic() + wait_s > end_s:
            return outcome
        patience.on_wait(wait_s)
        time.sleep(wait_s)


def _ask_wait_s(client: NodeClient, signed: SignedRecord, outcome: dict[str, Any]) -> float | None:
    """How long a record that was refused as `too_new` has to wait; None for every other outcome."""
    now = outcome.get("now")
    if outcome.get("code") != Code.TOO_NEW or not isinstance(now, int):
        return None
    max_skew_s = client.get_node().limits.max_skew or 0
    return max(WAIT_S_MIN, signed.record.timestamp - max_skew_s - now)
