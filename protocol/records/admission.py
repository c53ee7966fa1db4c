"""Admission: which valid records this node accepts, and from whom. This is a local choice and says nothing of validity.

A record's timestamp gives its place in the order, and the signer chooses the timestamp. Someone who could write into
the past could thus win a label that was settled long ago. Therefore a client may only *extend* what this node knows,
with timestamps near the present. A peer, which the operator listed, may bring every valid record, because the sets of
all nodes have to become equal. `docs/protocol.md` says what this means for trust.

Each `check_` function is one rule and raises its own code. Callers call them in the order of `errors.Code`.
"""

from collections.abc import Container
from enum import StrEnum
from typing import Final

import msgspec

from protocol.errors import Code, ProtocolError
from protocol.records.record import Record
from protocol.records.replay import State

ANY_HEAD: Final = "*"
"""Stands for every head in a precondition. No record id looks like this."""

NAMED_MAX: Final = 4_096
"""Keys that records from clients may name on one label, in all its history. Replay remembers each such key, and a
record that names a new key copies all of them. Without a limit, an owner who offers the label to a fresh key a thousand
times a second would stop every node after some minutes. With this limit a record costs at most 80 us, and a commit 128
KiB. A guess: a label that is sold every day reaches the limit after eleven years, and its owner can still write."""


class Trust(StrEnum):
    """Who brings a record: anybody (`CLIENT`), or a listed peer or a client with the admin token (`PEER`)."""

    CLIENT = "client"
    PEER = "peer"

    __hash__ = str.__hash__  # faster, as for `Verdict`


# Python 3.11 needs 0.2 us for a member of an enum, and 0.01 us for a global. Every record needs it.
_CLIENT: Final = Trust.CLIENT


class Window(msgspec.Struct, frozen=True):
    """How far a timestamp may be from now, in seconds; None: no limit. The age limits clients, the skew everybody."""

    max_age_s: int | None = 300
    max_skew_s: int | None = 300


class Amount(msgspec.Struct):
    """How much a node keeps of something. Bytes are those of the canonical records."""

    records: int = 0
    size_bytes: int = 0

    def add(self, records: int, size_bytes: int) -> None:
        """Add this much to the usage."""
        self.records += records
        self.size_bytes += size_bytes


class Allowance(msgspec.Struct, frozen=True):
    """How much a node keeps at most of something that clients write; None: no limit."""

    records_max: int | None = None
    bytes_max: int | None = None


class Precondition(msgspec.Struct, frozen=True):
    """What a client demands of the label's head (RFC 9110, sections 13.1.1 and 13.1.2).

    The head must be one of `match`, None: no demand. It must be none of `none_match`. `ANY_HEAD` in either stands for
    every head.
    """

    match: frozenset[str] | None = None
    none_match: frozenset[str] = frozenset()

    def is_met(self, head: str | None) -> bool:
        """Whether the head of this id is as demanded. None: the label has no head."""
        names = {head, ANY_HEAD} if head is not None else frozenset[str]()
        is_match = self.match is None or not self.match.isdisjoint(names)
        return is_match and self.none_match.isdisjoint(names)


NEEDS_NO_HEAD: Final = Precondition(none_match=frozenset({ANY_HEAD}))


def check_not_reserved(record: Record) -> None:
    """Check that the label is not kept for a later version of the protocol. A peer is never blamed for such a record.

    Raises:
        ProtocolError: `malformed`.
    """
    if record.is_reserved:
        raise ProtocolError(Code.MALFORMED, "labels that start with @ are reserved for a later version", reserved=True)


def check_domain(domain: str, supported: Container[str] | None, held: Container[str], *, is_full: bool) -> None:
    """Check that this node keeps the domain.

    `supported` are the domains that the operator listed; None: any domain. `held` are the domains that have records
    here. `is_full`: there is no room for another domain.

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
    """Check that the timestamp is near enough to `now_s`, this node's clock.

    Raises:
        ProtocolError: `too_new` for anybody, `too_old` for a client.
    """
    now = int(now_s)
    if window.max_skew_s is not None and record.timestamp > now + window.max_skew_s:
        ahead = record.timestamp - now
        raise ProtocolError(
            Code.TOO_NEW, f"{ahead} s ahead of this node's clock, {window.max_skew_s} s at most", now=now
        )
    if trust is _CLIENT and window.max_age_s is not None and record.timestamp < now - window.max_age_s:
        behind = now - record.timestamp
        raise ProtocolError(
            Code.TOO_OLD, f"{behind} s behind this node's clock, {window.max_age_s} s at most: sign it anew", now=now
        )


def check_precondition(state: State, precondition: Precondition | None) -> None:
    """Check that the label's head is one that the client expects. None: the client expects nothing.

    Raises:
        ProtocolError: `precondition_failed`, with the head.
    """
    if precondition is None:
        return
    head = state.tip.id if state.tip else None
    if not precondition.is_met(head):
        words = "the label has no head" if head is None else f"the head is {head}"
        detail = f"{words}, which is not what the request demands"
        raise ProtocolError(Code.PRECONDITION_FAILED, detail, head=head_facts(state))


def check_extends(record: Record, state: State) -> None:
    """Check that a client's record follows the head that this node knows, or founds the label.

    An older founder, or a record inserted before the head, would win a replay, so a client may not bring one. Replay
    refused all stored records that are newer than the head, and refused records change nothing. So the head alone
    decides whether replay accepts this record. What those newer records become afterwards is for `check_is_head` to
    say.

    Raises:
        ProtocolError: `not_owner`; or `stale`, if the signer may follow the head but this record does not, or if it
            would name more than `NAMED_MAX` keys. Both carry the head.
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


def check_is_head(before: State, *, is_followed: bool) -> None:
    """Check that a client's record becomes the head. This matters only if a stored record is newer (`State.newest`).

    A stored record that replay refused could follow this record at once, because this record offers the label to its
    signer, or because its `prev` names this record. Then the answer would show the client a head that it never saw. A
    founding record may be followed in this way, because then a peer brought the rest of the label first.

    `before` is the state without the record. `is_followed`: whether a stored record would follow it.

    Raises:
        ProtocolError: `stale`, with the head.
    """
    if before.tip is not None and is_followed:
        detail = f"a newer record would follow it: sign it with a timestamp of at least {before.newest[0] + 1}"
        raise ProtocolError(Code.STALE, detail, head=head_facts(before))


def check_allowance(what: str, allowance: Allowance, held: Amount, record: Record) -> None:
    """Check that a client's record fits beside what this node holds already of a domain or a key.

    `what` is `domain` or `key`.

    Raises:
        ProtocolError: `quota_exceeded`, with the quota and its limit.
    """
    _check_room(what, "records", allowance.records_max, held.records + 1, record)
    _check_room(what, "bytes", allowance.bytes_max, held.size_bytes + len(record.canonical), record)


def _check_room(what: str, unit: str, most: int | None, needed: int, record: Record) -> None:
    if most is not None and needed > most:
        name = record.domain if what == "domain" else record.signedby
        detail = f"this node keeps at most {most} {unit} of the {what} {name}, and this record would be more"
        raise ProtocolError(Code.QUOTA_EXCEEDED, detail, quota=f"{what}_{unit}_max", limit=most)


def head_facts(state: State) -> dict[str, object] | None:
    """The head as an error shows it: all that a client needs to sign a better record."""
    tip = state.tip
    if tip is None:
        return None
    return {"id": tip.id, "timestamp": tip.timestamp, "owner": tip.signedby, "newowner": tip.newowner}
