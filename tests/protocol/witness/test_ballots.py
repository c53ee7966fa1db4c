"""A witness that casts two ballots in one round of a slot is found out, whatever came first."""

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest

from protocol.records.record import Record, make
from protocol.witness.domain import WitnessedDomain
from protocol.witness.receipt import receipt_label
from protocol.witness.testimony import Act, Fork
from tests.protocol.witness.council import BEGIN_MS, council_policy, domain_of, follower, founding

POLICY = council_policy(witnesses=4, faulty=1)
WITNESS, OTHER = POLICY.witnesses[:2]
ONE, TWO = (founding(POLICY, author) for author in (1, 2))
AFTER = follower(POLICY, ONE, author=1)


def receipt(by: str = WITNESS, number: int = 0, **said: Any) -> Record:
    at_ms = BEGIN_MS + number
    fields = {"domain": domain_of(POLICY), "label": receipt_label(by), "signedby": by, "timestamp": at_ms // 1000}
    return make(fields | {"at": at_ms} | said)


FIRST = receipt(number=0, first={ONE.id: BEGIN_MS})
SECOND = receipt(number=1, prev=FIRST.id, commit={"0": [ONE.id]})
THIRD = receipt(number=2, prev=SECOND.id, commit={"0": [TWO.id], "1": [ONE.id]})


def forks_of(*records: Record) -> list[Fork]:
    policy = {"domain": domain_of(POLICY), "label": "@policy", "signedby": OTHER, "timestamp": BEGIN_MS // 1000}
    domain = WitnessedDomain(domain_of(POLICY))
    for record in (make(policy | POLICY.fields), *records):
        domain.add([record])
    return list(domain.forks())


def in_any_order(*records: Record) -> Iterator[list[Fork]]:
    return (forks_of(*each) for each in permutations(records))


def test_two_commits_in_one_round_of_a_slot_are_a_fork_although_the_chain_is_sound() -> None:
    one, other = sorted((SECOND.id, THIRD.id))

    found = list(in_any_order(ONE, TWO, FIRST, SECOND, THIRD))

    assert found == [[Fork(WITNESS, Act.COMMIT, ONE.label, None, 0, (one, other))]] * len(found)


@pytest.mark.parametrize(
    ("said", "fork"),
    [
        ({"first": {ONE.id: BEGIN_MS, TWO.id: BEGIN_MS}}, (Act.VOTE, 0)),
        ({"vote": {"3": [ONE.id, TWO.id]}}, (Act.VOTE, 3)),
        ({"commit": {"2": [ONE.id, TWO.id]}}, (Act.COMMIT, 2)),
    ],
    ids=["two first", "two votes", "two commits"],
)
def test_one_receipt_can_contradict_itself(said: dict[str, Any], fork: tuple[Act, int]) -> None:
    it = receipt(**said)

    assert forks_of(ONE, TWO, it) == [Fork(WITNESS, fork[0], ONE.label, None, fork[1], (it.id, it.id))]


@pytest.mark.parametrize(
    "said",
    [
        {"first": {ONE.id: BEGIN_MS}, "seen": {TWO.id: BEGIN_MS}},
        {"vote": {"1": [ONE.id], "2": [TWO.id]}, "commit": {"1": [ONE.id], "2": [TWO.id]}},
        {"vote": {"1": [ONE.id, AFTER.id]}},
    ],
    ids=["a first and a seen", "another round", "another slot"],
)
def test_what_an_honest_witness_may_say_is_no_fork(said: dict[str, Any]) -> None:
    assert forks_of(ONE, TWO, AFTER, receipt(**said)) == []


def test_the_same_ballot_of_two_witnesses_is_no_fork() -> None:
    assert forks_of(ONE, TWO, receipt(commit={"0": [ONE.id]}), receipt(OTHER, commit={"0": [TWO.id]})) == []


def test_two_receipts_in_one_place_that_contradict_each_other_are_one_piece_of_evidence() -> None:
    rival = receipt(number=5, commit={"0": [TWO.id]})
    first = receipt(number=4, commit={"0": [ONE.id]})

    one, other = sorted((first.id, rival.id))
    assert forks_of(ONE, TWO, first, rival) == [Fork(WITNESS, Act.RECEIPT, first.label, None, 0, (one, other))]


def test_the_first_contradiction_of_a_witness_in_a_slot_is_kept() -> None:
    """Otherwise a liar could fill the memory of every node with evidence."""
    receipts, before = [], None
    for number in range(50):
        receipts.append(
            receipt(number=number, commit={str(number): [ONE.id, TWO.id]}, **({"prev": before} if before else {}))
        )
        before = receipts[-1].id

    assert [fork.receipts for fork in forks_of(ONE, TWO, *receipts)] == [(receipts[0].id, receipts[0].id)]
