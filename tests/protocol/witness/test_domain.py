"""A witnessed domain that grows record by record has the state that the walk gives for all of its records at once."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from protocol.records.change import EventType
from protocol.records.record import Record, make
from protocol.records.replay import Verdict
from protocol.witness.change import DomainChange
from protocol.witness.domain import WitnessedDomain
from protocol.witness.receipt import receipt_label
from tests.paths import VECTORS
from tests.protocol.witness.council import council_policy, domain_of, founding

FILES = sorted((VECTORS / "witnessed").glob("*.json"))
PIECES = (1, 3, 1_000)
"""Records at a time."""


def pieces_of(records: list[Record], piece: int) -> list[list[Record]]:
    return [records[begin : begin + piece] for begin in range(0, len(records), piece)]


def state_of(domain: WitnessedDomain) -> dict[str, Any]:
    """The state of every label, as the vectors spell it."""
    states = {}
    for name in domain.labels:
        label = domain.label(name)
        assert label is not None
        states[name] = {
            "chain": [record.id for record in label.chain],
            "final": label.final,
            "verdicts": {record_id: str(verdict) for record_id, verdict in label.verdicts.items()},
            "ordered": {record_id: label.ordered_ms(record_id) for record_id in label.verdicts},
        }
    return states


@pytest.mark.skipif(not FILES, reason="the vectors are not beside this checkout")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_domain_has_the_state_of_a_vector_in_any_order_and_any_pieces(path: Path) -> None:
    vector = json.loads(path.read_text())
    records = [make(signed["record"]) for signed in vector["records"]]
    random = Random(path.stem)

    for piece in PIECES:
        random.shuffle(records)
        domain = WitnessedDomain(vector["domain"])
        pieces = pieces_of([*records, *random.choices(records, k=3)], piece)
        changes = [domain.add(each) for each in pieces]

        assert state_of(domain) == vector["expect"]
        check_told(domain, changes)
        check_told_together(vector["domain"], pieces, changes)


def check_told_together(name: str, pieces: list[list[Record]], changes: list[DomainChange]) -> None:
    """A change to which several pieces are added is that of each piece, merged."""
    together, merged, domain = DomainChange(), DomainChange(), WitnessedDomain(name)

    for piece, change in zip(pieces, changes, strict=True):
        domain.add(piece, together)
        merged.add(change)

    assert together == merged


def check_told(domain: WitnessedDomain, changes: list[DomainChange]) -> None:
    """Whoever follows the changes knows the state: verdicts, heads and final records."""
    verdicts: dict[str, Verdict] = {}
    heads: dict[str, str] = {}
    final: list[str] = []
    for change in changes:
        verdicts |= change.verdicts
        for event in change.events:
            if event.type is EventType.FINAL:
                final.append(event.record.id)
            else:
                assert event.previous == (heads.get(event.record.label) if event.type is EventType.REVERTED else None)
                heads[event.record.label] = event.record.id
    labels = [label for name in domain.labels if (label := domain.label(name)) is not None]
    expected = {record_id: verdict for label in labels for record_id, verdict in label.verdicts.items()}
    assert {each: verdict for each, verdict in verdicts.items() if each in expected} == expected
    assert set(final) == {record.id for label in labels for record in label.chain[: label.final]}
    assert len(final) == len(set(final))
    assert {label.head.id for label in labels if label.head} == {
        head for name, head in heads.items() if not name.startswith("@")
    }
    assert domain.undecided == sum(label.undecided for label in labels)


ONE = council_policy(1, 0)
(WITNESS,) = ONE.witnesses


def of_one(label: str, **fields: Any) -> Record:
    """A record by the only witness of a domain."""
    return make({"domain": domain_of(ONE), "label": label, "signedby": WITNESS, "timestamp": 1_790_000_000} | fields)


def receipt(number: int, prev: Record | None = None, **said: Any) -> Record:
    before = {} if prev is None else {"prev": prev.id}
    return of_one(receipt_label(WITNESS), at=1_790_000_000_000 + number, **before, **said)


def test_only_what_was_named_before_it_comes_is_awaited() -> None:
    """Of an awaited record, a store moves what was said. Most records of a catch-up come with their receipts."""
    before, together = founding(ONE, 1), founding(ONE, 2)
    first = receipt(1, first={before.id: 1})
    second = receipt(2, first, first={together.id: 1_790_000_000_002})
    domain = WitnessedDomain(domain_of(ONE))

    ahead = domain.add([of_one("@policy", **ONE.fields), first])
    change = domain.add([second, before, together])

    assert (ahead.ahead, ahead.awaited) == ({before.id}, set())
    assert (change.ahead, change.awaited) == (set(), {before.id})


def test_a_slot_in_which_a_liar_decides_many_at_once_is_told_once() -> None:
    """Each time it is told, all of its candidates are looked at. A receipt that decided 400 of 8,000 took 5 s."""
    rivals = [founding(ONE, number) for number in range(1, 21)]
    ids = [rival.id for rival in rivals]
    domain = WitnessedDomain(domain_of(ONE))
    domain.add([of_one("@policy", **ONE.fields), *rivals])

    change = domain.follow(domain.add([receipt(1, commit={"0": ids[:10]})]))
    again = domain.follow(domain.add([receipt(2, commit={"0": ids[10:]})]))

    slot = (rivals[0].label, None)
    assert (change.decided, again.decided) == ([slot], [slot])
    assert change.closed == list(dict.fromkeys(change.closed))
    assert domain.doubly_decided == 1
