"""What witnesses said, as rows and back: the same columns in every store. See `protocol.witness.testimony`."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from node.store.contract import Batch
from node.store.rows import SEEN
from protocol.witness.recall import Known
from protocol.witness.testimony import Act, Evidence, Fork, Link

Row = tuple[Any, ...]

_VOTE: Final = int(Act.VOTE)


def named_by(batch: Batch) -> Iterator[str]:
    """The ids of the records, new or stored, whose row numbers a commit of this batch needs. Some come twice."""
    for state in batch.states.values():
        if state.tip is not None:
            yield state.tip.id
        if state.final is not None:
            yield state.final
        yield state.newest[1]
    yield from (event.record.id for event in batch.events)
    for change in batch.walked.values():
        yield from change.links  # every row of the batch comes from one of these receipts
        yield from change.said.keys() - change.ahead
        for fork in change.forks.values():
            yield from fork.receipts


def link_row(number: int, link: Link, witnesses: Mapping[str, int]) -> Row:
    """The row of a receipt, which is the record with this number."""
    prev = None if link.prev is None else bytes.fromhex(link.prev)
    return (number, witnesses[link.witness], prev, link.at_ms, link.is_sound)


def rows_of(evidence: Evidence, witnesses: Mapping[str, int], numbers: Mapping[str, int]) -> Iterator[Row]:
    """A row for each thing that was said: witness, act, round, value. The later of two rows of one place counts."""
    for witness in evidence.named:
        yield (witnesses[witness], SEEN, 0, 0)
    for witness, ms in evidence.times_ms.items():
        yield (witnesses[witness], SEEN, 0, ms)
    for (witness, act, number), receipt_id in evidence.ballots():
        yield (witnesses[witness], int(act), number, numbers[receipt_id])


def fork_row(fork: Fork, witnesses: Mapping[str, int], numbers: Mapping[str, int]) -> Row:
    prev = b"" if fork.prev is None else bytes.fromhex(fork.prev)
    receipts = (numbers[receipt_id] for receipt_id in fork.receipts)
    return (witnesses[fork.witness], fork.label, prev, int(fork.act), fork.round, *receipts)


class _Said:
    """What rows say of one record. It changes, because evidence of 40,000 rounds would be copied for each round."""

    __slots__ = ("commits", "named", "times_ms", "votes")

    def __init__(self) -> None:
        self.times_ms: dict[str, int] = {}
        self.named: set[str] = set()
        self.votes: dict[int, dict[str, str]] = {}
        self.commits: dict[int, dict[str, str]] = {}


def hear(found: Known, witnesses: Mapping[int, str], rows: Iterable[Any]) -> None:
    """Add what these rows say: record id, witness, act, round, value, receipt id. No two rows have the same record,
    witness, act and round.
    """
    told: dict[bytes, _Said] = defaultdict(_Said)
    for record_id, number, act, at, value, receipt_id in rows:
        witness = witnesses.get(number)
        if witness is None:  # a witness of another domain
            continue
        said = told[record_id]
        if act != SEEN:
            ballots = said.votes if act == _VOTE else said.commits
            ballots.setdefault(at, {})[witness] = receipt_id.hex()
        elif value:
            said.times_ms[witness] = value
        else:
            said.named.add(witness)
    for record_id, said in told.items():
        more = Evidence(said.times_ms, said.votes, said.commits, frozenset(said.named))
        found.said[record_id.hex()] = found.evidence(record_id.hex()).with_more(more)
