"""Admission: what this node takes from whom. A local choice, and never part of whether a record is valid.

Order is claimed by timestamps, so whoever may write into the past may win what was settled there. Clients therefore
only *extend* what this node knows, near the present; peers, whom the operator listed, bring whatever is valid, because
sets have to become equal. What that means for trust is said honestly in `docs/protocol.md`.

Each `check_` is one rule and raises its own code; callers ask them in the order of `errors.Code`.
"""

from collections.abc import Container
from enum import StrEnum
from typing import Final

import msgspec

from protocol.errors import Code, ProtocolError
from protocol.records.record import Record
from protocol.records.replay import State

NO_HEAD = "none"
"""The condition that a label has no head yet. No record id is spelled so."""


NAMED_MAX: Final = 4_096
"""Keys that a label may name, one after the other, in what clients bring. Replay remembers each for as long as the
label is held, and what names a new one copies them all: with no limit, an owner who offers its label to a fresh key a
thousand times a second would stop every node after some minutes. With this one it costs 80 us a record, and 128 KiB a
commit. A guess: a label that is sold every day gets there in eleven years, and can still be written to by its owner.
"""


class Trust(StrEnum):
    """Whom a record comes from: anybody, or somebody whom the operator listed (or who holds the admin token)."""

    CLIENT = "client"
    PEER = "peer"


class Window(msgspec.Struct, frozen=True):
    """How far a timestamp may lie from now, in seconds; None: no limit. Age binds clients only, skew everybody."""

    max_age_s: int | None = 300
    max_skew_s: int | None = 300


def check_not_reserved(record: Record) -> None:
    """Raises: ProtocolError: `malformed` for a label that is kept for a later version; never held against a peer."""
    if record.is_reserved:
        raise ProtocolError(Code.MALFORMED, "labels that start with @ are reserved for a later version", reserved=True)


def check_domain(domain: str, supported: Container[str] | None, held: Container[str], *, is_full: bool) -> None:
    """`supported` lists the domains to take, None: any. `held` are those with records; `is_full`: no room for another.

    Raises:
        ProtocolError: `unknown_domain`.
    """
    if supported is not None and domain not in supported:
        raise ProtocolError(
            Code.UNKNOWN_DOMAIN, f"this node does not keep the domain {domain}: GET /domains lists those it keeps"
        )
    if supported is None and is_full and domain not in held:
        raise ProtocolError(
            Code.UNKNOWN_DOMAIN, f"this node keeps as many domains as it may, and {domain} is not among them"
        )


def check_time(record: Record, trust: Trust, window: Window, now_s: float) -> None:
    """Raises: ProtocolError: `too_new` from anybody, `too_old` from a client."""
    now = int(now_s)
    if window.max_skew_s is not None and record.timestamp > now + window.max_skew_s:
        ahead = record.timestamp - now
        raise ProtocolError(
            Code.TOO_NEW, f"{ahead} s ahead of this node's clock, {window.max_skew_s} s at most", now=now
        )
    if trust is Trust.CLIENT and window.max_age_s is not None and record.timestamp < now - window.max_age_s:
        behind = now - record.timestamp
        raise ProtocolError(
            Code.TOO_OLD, f"{behind} s behind this node's clock, {window.max_age_s} s at most: sign it anew", now=now
        )


def check_precondition(state: State, if_match: str | None) -> None:
    """`if_match`: the record id that the client saw as head, `*` for any head, `NO_HEAD` for none, None for no demand.

    Raises:
        ProtocolError: `precondition_failed`, with the head.
    """
    if if_match is None:
        return
    head = state.tip.id if state.tip else None
    is_met = {"*": head is not None, NO_HEAD: head is None}.get(if_match, head == if_match)
    if not is_met:
        raise ProtocolError(Code.PRECONDITION_FAILED, f"the head is {head}, not {if_match}", head=head_facts(state))


def check_extends(record: Record, state: State) -> None:
    """That a client's record carries the label on from the head that this node knows, or founds it.

    An older founder, or an insertion before the head, would win a replay: from a client it is refused. Records newer
    than the head are all refused ones, which move no tip, so the head alone tells whether replay accepts this one.
    What they become once it is accepted, only a replay tells: see `check_is_head`.

    Raises:
        ProtocolError: `not_owner`, or `stale` where its signer might follow but this record does not, also because it
            would name one key more than NAMED_MAX. With the head.
    """
    tip = state.tip
    if tip is not None and not tip.names(record.signedby):
        detail = f"the label is {tip.signedby}'s, and not offered to {record.signedby}"
        raise ProtocolError(Code.NOT_OWNER, detail, head=head_facts(state))
    if tip is not None and record.order_key <= tip.order_key:
        detail = f"not newer than the head: sign it with a timestamp of at least {tip.timestamp + 1}"
        raise ProtocolError(Code.STALE, detail, head=head_facts(state))
    if not state.judge(record).is_accepted:
        detail = f"`prev` is {record.prev}, the head is {tip.id if tip else None}: name the head, or nothing"
        raise ProtocolError(Code.STALE, detail, head=head_facts(state))
    if record.newowner is not None and record.newowner not in state.named and len(state.named) >= NAMED_MAX:
        detail = f"the label was offered to {NAMED_MAX} keys, and cannot be to another: offer it to one of those"
        raise ProtocolError(Code.STALE, detail, head=head_facts(state))


def check_is_head(record: Record, before: State, after: State) -> None:
    """That a client's record ends up as the head: of use where it is older than a stored record (`State.newest`).

    A stored record that was refused, because it came from the key that this one offers the label to, or names this one
    in `prev`, would follow it at once, and the client's answer would show a head that it never saw. A founding may be
    followed so: then the rest of the label came first, from a peer. `after` is the state with the record in it.

    Raises:
        ProtocolError: `stale`, with the head.
    """
    assert after.tip is not None, "check_extends has found that replay accepts the record"
    if before.tip is not None and after.tip.id != record.id:
        detail = f"a newer record would follow it: sign it with a timestamp of at least {before.newest[0] + 1}"
        raise ProtocolError(Code.STALE, detail, head=head_facts(before))


def head_facts(state: State) -> dict[str, object] | None:
    """The head as an answer shows it: what a client needs to sign a better record."""
    tip = state.tip
    if tip is None:
        return None
    return {"id": tip.id, "timestamp": tip.timestamp, "owner": tip.signedby, "newowner": tip.newowner}
