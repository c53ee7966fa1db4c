"""The oracle: who owns a label, written a second time and in another way, to be held against the node.

The rule of `docs/protocol.md` in the words of a person who reads it: sort, walk, ask who may speak next. It shares no
code with `protocol.records.replay`, so a mistake there is not repeated here.
"""

from collections.abc import Iterable

import msgspec

from protocol.records.record import Record


class Ownership(msgspec.Struct, frozen=True):
    """The accepted ids, oldest first; the owner, None while there is none; every key that owned the label, or was
    offered it.
    """

    chain: list[str]
    owner: str | None
    named: frozenset[str]


def ownership(history: Iterable[Record]) -> Ownership:
    """Who owns a label of which these are all records."""
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
