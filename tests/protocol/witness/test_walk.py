"""The state of a witnessed label is a pure function of the records and receipts, and what is final stays final."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from protocol.records.record import Record, make
from protocol.records.replay import Verdict
from protocol.witness.policy import policy_of
from protocol.witness.receipt import receipt_of
from protocol.witness.testimony import Evidence, Testimony
from protocol.witness.walk import Certainty, Walk, walk
from tests.paths import VECTORS
from tests.protocol.witness.council import council_policy, follower, founding, key_of

FILES = sorted((VECTORS / "witnessed").glob("*.json"))
ORDERS = 5


def states(records: Sequence[Record]) -> dict[str, Walk]:
    """The state of every label that these records of one domain have."""
    policy = next((policy for record in records if (policy := policy_of(record)) is not None), None)
    testimony = Testimony(policy) if policy else None
    labels: dict[str, list[Record]] = {}
    for record in records:
        receipt = receipt_of(record)
        if receipt is not None and testimony is not None:
            testimony.add(receipt)
        elif not record.is_of_witnesses:
            labels.setdefault(record.label, []).append(record)
    said = testimony.evidence if testimony else lambda _: Evidence()
    return {label: walk(policy, claims, said) for label, claims in labels.items()}


def as_expected(state: Walk) -> dict[str, Any]:
    """The state as the vectors spell it."""
    return {
        "chain": [record.id for record in state.chain],
        "final": state.final,
        "verdicts": {record_id: str(verdict) for record_id, verdict in state.verdicts.items()},
        "ordered": state.ordered_ms,
    }


@pytest.mark.skipif(not FILES, reason="the vectors are not beside this checkout")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_vector_has_its_state_in_any_order(path: Path) -> None:
    vector = json.loads(path.read_text())
    records = [make(signed["record"]) for signed in vector["records"]]
    random = Random(path.stem)

    for _ in range(ORDERS):
        random.shuffle(records)
        repeated = [*records, *random.choices(records, k=3)]

        assert {label: as_expected(state) for label, state in states(repeated).items()} == vector["expect"]


@pytest.mark.skipif(not FILES, reason="the vectors are not beside this checkout")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_more_records_never_take_a_final_record_back(path: Path) -> None:
    vector = json.loads(path.read_text())
    records = [make(signed["record"]) for signed in vector["records"]]
    Random(path.stem).shuffle(records)
    final: dict[str, list[str]] = {}

    for count in range(len(records) + 1):
        for label, state in states(records[:count]).items():
            before = final.get(label, [])
            final[label] = [record.id for record in state.chain[: state.final]]

            assert final[label][: len(before)] == before


POLICY = council_policy(witnesses=4, faulty=1)
FOUNDED = founding(POLICY, author=1)
RIVAL = founding(POLICY, author=2)
OFFERED = follower(POLICY, FOUNDED, author=1, newowner=key_of(2, "b"))
TAKEN = follower(POLICY, OFFERED, author=2)
WITHDRAWN = follower(POLICY, OFFERED, author=1)
STOLEN = follower(POLICY, FOUNDED, author=2)


def seen_at(ms: int) -> Evidence:
    return Evidence(times_ms=dict.fromkeys(POLICY.witnesses, ms))


def decided() -> Evidence:
    return Evidence(commits={0: dict.fromkeys(POLICY.witnesses, "receipt")})


def walked(*said: tuple[Record, Evidence]) -> Walk:
    evidence = {record.id: each for record, each in said}
    return walk(POLICY, [record for record, _ in said], evidence.__getitem__)


def test_the_candidate_that_witnesses_saw_first_is_the_head_until_another_is_decided() -> None:
    forecast = walked((FOUNDED, seen_at(20)), (RIVAL, seen_at(10)))
    final = walked((FOUNDED, decided()), (RIVAL, seen_at(10)))

    assert (forecast.head, forecast.certainty) == (RIVAL, Certainty.ORDERED)
    assert (final.head, final.certainty) == (FOUNDED, Certainty.FINAL)


def test_an_offer_that_was_withdrawn_cannot_be_taken_up() -> None:
    state = walked((FOUNDED, seen_at(10)), (OFFERED, seen_at(20)), (WITHDRAWN, seen_at(30)), (TAKEN, seen_at(40)))

    assert state.chain == (FOUNDED, OFFERED, WITHDRAWN)
    assert state.verdicts[TAKEN.id] is Verdict.STALE


def test_a_transfer_ends_the_rights_of_the_owner_before() -> None:
    state = walked((FOUNDED, seen_at(10)), (OFFERED, seen_at(20)), (TAKEN, seen_at(30)))

    assert [state.verdicts[record.id] for record in state.chain] == [
        Verdict.FOUNDED,
        Verdict.OFFERED,
        Verdict.TRANSFERRED,
    ]


def test_a_record_after_the_head_by_a_key_that_it_does_not_name_is_never_pending() -> None:
    state = walked((FOUNDED, seen_at(10)), (STOLEN, Evidence()))

    assert state.verdicts[STOLEN.id] is Verdict.NOT_OWNER


def test_a_record_that_too_few_witnesses_saw_is_pending_until_its_place_is_decided() -> None:
    open_race = walked((FOUNDED, seen_at(10)), (RIVAL, Evidence()))
    decided_race = walked((FOUNDED, decided()), (RIVAL, Evidence()))

    assert open_race.verdicts[RIVAL.id] is Verdict.PENDING
    assert decided_race.verdicts[RIVAL.id] is Verdict.RIVAL


def test_without_a_policy_record_everything_is_pending() -> None:
    state = walk(None, [FOUNDED, OFFERED], lambda _: decided())

    assert (state.chain, state.certainty, set(state.verdicts.values())) == ((), None, {Verdict.PENDING})


def test_two_decided_records_in_one_place_are_told() -> None:
    """More than `faulty` witnesses lied then. The state is still the same on every node."""
    state = walked((FOUNDED, decided()), (RIVAL, decided()))

    assert state.doubly_decided == (None,)
    assert state.head == min(FOUNDED, RIVAL, key=lambda record: record.id)


def test_a_decided_record_after_one_that_is_not_is_not_final_yet() -> None:
    state = walked((FOUNDED, seen_at(10)), (OFFERED, decided()))

    assert (state.chain, state.final) == ((FOUNDED, OFFERED), 0)
