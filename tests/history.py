"""Random histories for tests: the records of three people, in any order.

ALICE, BOB and CAROL hold one key each. There are only three keys and six timestamps, and `prev` mostly names a record
that exists. So random histories of a few records reach every verdict, ties and reversals included.
"""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from protocol.records.record import Record, SignedRecord, make, sign
from protocol.signing import SigningKey

ALICE = SigningKey(b"alice".ljust(32, b"."))
BOB = SigningKey(b"bob".ljust(32, b"."))
CAROL = SigningKey(b"carol".ljust(32, b"."))
PEOPLE = (ALICE, BOB, CAROL)

DOMAIN = "example"
NOWHERE = "0" * 64
"""The id of no record."""

_KEYS = {key.public: key for key in PEOPLE}


def claim(
    label: str,
    by: SigningKey = ALICE,
    at: int = 1,
    *,
    prev: Record | str | None = None,
    domain: str = DOMAIN,
    **fields: Any,
) -> Record:
    """A record of this label. `prev` is a record or an id. `fields` are further keys of the JSON object."""
    body = {"domain": domain, "label": label, "signedby": by.public, "timestamp": at, **fields}
    if prev is not None:
        body["prev"] = prev.id if isinstance(prev, Record) else prev
    return make(body)


def offer(label: str, by: SigningKey, to: SigningKey, at: int, *, prev: Record | str | None = None) -> Record:
    """A record that offers its label to the key `to`."""
    return claim(label, by, at, prev=prev, newowner=to.public)


def signed(record: Record) -> SignedRecord:
    """The record with a signature of the person that `signedby` names."""
    return sign(record, _KEYS[record.signedby])


@st.composite
def records(draw: st.DrawFn, others: Sequence[Record] = (), label: str = "garden") -> Record:
    """One record of a label. Its `prev` is absent, the id of no record, or the id of one of the others."""
    fields: dict[str, Any] = {"n": draw(st.integers(0, 2))}
    to = draw(st.sampled_from((None, None, *PEOPLE)))
    if to is not None:
        fields["newowner"] = to.public
    prevs = (None, None, NOWHERE, *(other.id for other in others))
    by, at = draw(st.sampled_from(PEOPLE)), draw(st.integers(1, 6))
    return claim(label, by, at, prev=draw(st.sampled_from(prevs)), **fields)


@st.composite
def histories(draw: st.DrawFn, label: str = "garden", size_max: int = 9) -> list[Record]:
    """Different records of one label, in any order."""
    history: dict[str, Record] = {}
    for _ in range(draw(st.integers(0, size_max))):
        record = draw(records(list(history.values()), label))
        history[record.id] = record
    return draw(st.permutations(list(history.values())))


@st.composite
def batches(draw: st.DrawFn, size_max: int = 9) -> list[list[Record]]:
    """A history that arrives in several batches."""
    history = draw(histories(size_max=size_max))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(history) - 1)))))
    return [history[start:end] for start, end in zip([0, *cuts], [*cuts, len(history)], strict=True)]
