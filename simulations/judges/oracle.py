"""The oracle: a second implementation of the rule who owns a label. Judges compare the node with it.

It follows `docs/protocol.md` as a person reads it: sort the records, walk through them, and ask each time who may sign
the next one. It shares no code with `protocol.records.replay`, so that a mistake there is not repeated here.
"""

from collections.abc import Iterable

import msgspec

from protocol.records.record import Record


class Ownership(msgspec.Struct, frozen=True):
    """The state of a label. `chain`: the accepted ids, oldest first. `owner`: None if the label has no owner. `named`:
    every key that owned the label or was offered it.
    """

    chain: list[str]
    owner: str | None
    named: frozenset[str]


def ownership(history: Iterable[Record]) -> Ownership:
    """Who owns a label with exactly these records, in any order."""
    chain: list[Record] = []
    named: set[str] = set()
    for record in sorted(history, key=lambda record: (record.timestamp, record.id)):
        if not chain:
            follows = record.prev is None
        else:
            last = chain[-1]
            follows = record.signedby in (last.signedby, last.newowner) and record.prev in (None, last.id)
        if follows:
            chain.append(record)
            named |= {record.signedby, record.newowner} - {None}  # type: ignore[arg-type]
    owner = chain[-1].signedby if chain else None
    return Ownership([record.id for record in chain], owner, frozenset(named))
