"""A receipt: what one witness signed about what it saw, how it votes and what it commits.

A receipt is an ordinary record of the label `@seen/KEY`, signed by KEY. So gossip, catch-up, storage and signatures
need nothing new. Its content is read strictly, because every node has to count the same receipts: a receipt that breaks
one rule counts for nothing, though it is stored like any valid record.
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from protocol.limits import SAFE_INTEGER_MAX
from protocol.records.record import RECEIPT_PREFIX, Record, are_ids

ENTRIES_MAX: Final = 400
"""Ids in `first` and `seen` together."""

BALLOTS_MAX: Final = 400
"""Ids in `vote` and `commit` together."""

_AT_MS_MIN: Final = 1_000
_ROUND: Final = re.compile(r"(?:0|[1-9][0-9]{0,8})\Z")

Ballots = Mapping[int, tuple[str, ...]]
"""Record ids by round."""


class Receipt(msgspec.Struct, frozen=True):
    """A well-formed receipt. Build it with `receipt_of`.

    `id` is the record id of the receipt, `witness` the key that signed it, `prev` the id of the receipt before it.
    `at_ms` and the times in `first` and `seen` are milliseconds since the Unix epoch by the clock of the witness.
    `size_bytes` are those of the canonical record.
    `votes` are those of round 1 and later: `first` holds the votes of round 0.
    """

    id: str
    witness: str
    prev: str | None
    at_ms: int
    first: Mapping[str, int]
    seen: Mapping[str, int]
    votes: Ballots
    commits: Ballots
    size_bytes: int

    def entries(self) -> Iterable[tuple[str, int]]:
        """Every record id that the witness saw, and the time in milliseconds that it claims."""
        yield from self.first.items()
        yield from self.seen.items()

    def named(self) -> list[str]:
        """Every record id in the receipt, once, in order."""
        ballots = (record_id for each in (self.votes, self.commits) for ids in each.values() for record_id in ids)
        return list(dict.fromkeys((*self.first, *self.seen, *ballots)))

    def all_votes(self) -> Iterable[tuple[int, str]]:
        """Every vote as a round and a record id, those of round 0 first."""
        yield from ((0, record_id) for record_id in self.first)
        yield from ((number, record_id) for number, ids in self.votes.items() for record_id in ids)

    def all_commits(self) -> Iterable[tuple[int, str]]:
        """Every commit as a round and a record id."""
        yield from ((number, record_id) for number, ids in self.commits.items() for record_id in ids)


_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})


def receipt_label(witness: str) -> str:
    """The label of the receipts of this key."""
    return RECEIPT_PREFIX + witness


def receipt_of(record: Record) -> Receipt | None:
    """The receipt that this record is; None if it breaks a rule of receipts, and so counts for nothing.

    Whether its signer is a witness of the domain is for the caller to ask.
    """
    if record.label != receipt_label(record.signedby):
        return None
    try:
        return _read(record, msgspec.json.decode(record.canonical))
    except _MalformedError:
        return None


class _MalformedError(Exception):
    """A rule of receipts is broken."""


def _read(record: Record, fields: dict[str, Any]) -> Receipt:
    at_ms = fields.get("at")
    _require(type(at_ms) is int and _AT_MS_MIN <= at_ms <= SAFE_INTEGER_MAX and record.timestamp == at_ms // 1000)
    assert type(at_ms) is int
    receipt = Receipt(
        id=record.id,
        witness=record.signedby,
        prev=record.prev,
        at_ms=at_ms,
        first=_times(fields.get("first", _NOTHING)),
        seen=_times(fields.get("seen", _NOTHING)),
        votes=_ballots(fields.get("vote", _NOTHING)),
        commits=_ballots(fields.get("commit", _NOTHING)),
        size_bytes=len(record.canonical),
    )
    _require(len(receipt.first) + len(receipt.seen) <= ENTRIES_MAX)
    _require(sum(len(ids) for each in (receipt.votes, receipt.commits) for ids in each.values()) <= BALLOTS_MAX)
    _require(0 not in receipt.votes)
    return receipt


def _times(value: Any) -> Mapping[str, int]:
    """Record ids and the milliseconds at which they were seen."""
    _require(isinstance(value, Mapping))
    times: Mapping[str, int] = value
    _require(are_ids(times) and all(type(ms) is int and ms > 0 for ms in times.values()))
    return times


def _ballots(value: Any) -> Ballots:
    """Lists of record ids by round, a number in decimal of at most nine digits."""
    _require(isinstance(value, Mapping))
    ballots = {}
    for number, ids in value.items():
        _require(_ROUND.match(number) is not None and type(ids) is list)
        _require(all(type(record_id) is str for record_id in ids) and are_ids(ids))
        _require(len(set(ids)) == len(ids))
        ballots[int(number)] = tuple(ids)
    return ballots


def _require(rule: bool) -> None:
    if not rule:
        raise _MalformedError
