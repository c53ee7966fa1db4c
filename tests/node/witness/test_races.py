"""How long records wait until they are ordered and final, and whom an open slot waits for."""

from collections.abc import Iterable

import pytest

from node.metrics import Histogram
from node.witness import races
from node.witness.races import Races
from node.witness.watched import UNHEARD_AFTER_S, unheard_in
from protocol.records.record import Record, make
from protocol.witness.domain import WitnessedDomain
from tests.protocol.witness.council import BEGIN_MS, domain_of, follower, founding
from tests.protocol.witness.test_voter import POLICY, says, vote

FOUNDED, RIVAL = founding(POLICY, author=1), founding(POLICY, author=2)
ONE, TWO, THREE, FOUR = POLICY.witnesses
FIELDS = {"domain": domain_of(POLICY), "label": "@policy", "signedby": ONE, "timestamp": 1}
POLICY_RECORD = make(FIELDS | POLICY.fields)


def seen(*records: Record, by: Iterable[str] = (ONE, TWO)) -> list[Record]:
    return [says(witness, first={record.id: BEGIN_MS}) for record in records for witness in by]


def commits(record: Record, number: int = 0) -> list[Record]:
    return [says(witness, commit={str(number): [record.id]}) for witness in (ONE, TWO, THREE)]


class Track:
    """The races of a domain with a policy, whose clock a test sets."""

    def __init__(self, *records: Record) -> None:
        """`records` are those that the store holds at the start."""
        self.now_s = 100.0
        self.domain = WitnessedDomain(domain_of(POLICY))
        held = self.domain.follow(self.domain.add([POLICY_RECORD, *records]))
        self.races = Races(lambda: self.now_s)
        self.races.begin(held.opened)

    def commit(self, *records: Record, after_s: float = 0.0) -> None:
        self.now_s += after_s
        self.races.on_change(self.domain.follow(self.domain.add(records)))

    def open_for_s(self) -> float | None:
        oldest = self.races.oldest()
        return None if oldest is None else oldest.open_s


def measured(histogram: Histogram) -> tuple[int, float]:
    """How many values there were, and their sum."""
    return [number for _, number in histogram.buckets()][-1], histogram.total


def test_a_race_lasts_from_the_arrival_of_a_record_until_it_is_ordered_and_final() -> None:
    track = Track()

    track.commit(FOUNDED)
    track.commit(*seen(FOUNDED), after_s=0.25)
    track.commit(*commits(FOUNDED), after_s=0.5)

    assert (measured(track.races.ordered_s), measured(track.races.final_s)) == ((1, 0.25), (1, 0.75))
    assert track.open_for_s() is None


def test_a_record_that_arrives_with_its_decision_ran_no_race() -> None:
    track = Track()

    track.commit(FOUNDED, *seen(FOUNDED), *commits(FOUNDED))

    assert (measured(track.races.ordered_s), measured(track.races.final_s)) == ((0, 0.0), (0, 0.0))
    assert track.open_for_s() is None


def test_a_record_that_is_taken_back_and_ordered_again_is_measured_once() -> None:
    track = Track()

    track.commit(FOUNDED, RIVAL)
    track.commit(*seen(FOUNDED), after_s=1)
    track.commit(*[says(each, first={RIVAL.id: BEGIN_MS - 1}) for each in (THREE, FOUR)], after_s=1)
    track.commit(*[says(each, seen={FOUNDED.id: BEGIN_MS - 2}) for each in (THREE, FOUR)], after_s=1)

    label = track.domain.label("garden")
    assert label is not None
    assert [record.id for record in label.chain] == [FOUNDED.id]
    assert measured(track.races.ordered_s) == (2, 3.0)


def test_the_race_of_a_loser_and_of_what_follows_it_ends_with_the_decision() -> None:
    track = Track()

    track.commit(FOUNDED, RIVAL, follower(POLICY, RIVAL, author=2))
    track.commit(*seen(FOUNDED, RIVAL), *commits(FOUNDED), after_s=1)

    assert track.open_for_s() is None


def test_races_that_the_store_holds_count_from_the_start_of_the_node() -> None:
    track = Track(FOUNDED, *seen(FOUNDED))

    track.now_s += 7
    open_for_s = track.open_for_s()
    track.commit(*commits(FOUNDED))

    assert (open_for_s, measured(track.races.final_s)) == (7, (1, 7))


def test_more_records_than_the_limit_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(races, "FOLLOWED_MAX", 2)
    track = Track()

    track.commit(*(founding(POLICY, author=number) for number in range(1, 4)))
    followed = track.races.oldest()
    track.commit(*commits(FOUNDED))

    assert followed is not None
    assert (len(followed.candidates), track.open_for_s()) == (2, None)


UNHEARD = {
    "nobody has said anything": ([], [ONE, TWO, THREE, FOUR]),
    "one is missing": (vote(0, FOUNDED, ONE, TWO, THREE), [FOUR]),
    "all have voted, and wait for each other": (vote(0, FOUNDED, ONE, TWO, THREE, FOUR), []),
    "two went on, and two are still in the first round": (
        [*vote(0, FOUNDED, ONE, TWO, THREE, FOUR), *vote(1, FOUNDED, ONE, TWO)],
        [THREE, FOUR],
    ),
    "one alone claims a round that nobody else reached": (
        [*vote(0, FOUNDED, ONE, TWO, THREE, FOUR), *vote(900, FOUNDED, ONE)],
        [],
    ),
}


@pytest.mark.parametrize(("said", "unheard"), UNHEARD.values(), ids=UNHEARD.keys())
def test_a_slot_waits_for_the_witnesses_that_did_not_go_on(said: list[Record], unheard: list[str]) -> None:
    track = Track()
    track.commit(FOUNDED)
    track.commit(*said, after_s=UNHEARD_AFTER_S)
    race = track.races.oldest()

    assert race is not None
    assert list(unheard_in(track.domain, race)) == unheard


def test_nobody_is_unheard_while_a_slot_is_young() -> None:
    track = Track()
    track.commit(FOUNDED)
    track.now_s += UNHEARD_AFTER_S - 1
    race = track.races.oldest()

    assert race is not None
    assert unheard_in(track.domain, race) == ()
