"""What an honest witness says, when, and what it never says twice."""

from typing import Any

import pytest

from protocol.records.record import Record, make
from protocol.witness.policy import Policy
from protocol.witness.receipt import BALLOTS_MAX, ENTRIES_MAX, receipt_label, receipt_of
from protocol.witness.testimony import Testimony
from protocol.witness.voter import RECEIPT_INTERVAL_MS, ROUND_MS, Voter
from tests.protocol.witness.council import (
    BEGIN_MS,
    LABEL,
    Seat,
    council_policy,
    domain_of,
    follower,
    founding,
)
from tests.protocol.witness.exploration import CASES, Case, explore

POLICY = council_policy(witnesses=4, faulty=1)
ME, SECOND, THIRD, FOURTH = POLICY.witnesses
SPEAKER_OF_1, SPEAKER_OF_4 = SECOND, ME
ALONE = council_policy(witnesses=1, faulty=0)
FOUNDED = founding(POLICY, author=1)
RIVAL = founding(POLICY, author=2)


def says(witness: str, at_ms: int = BEGIN_MS, policy: Policy = POLICY, **said: Any) -> Record:
    """A first receipt of this witness; several of one are forks, which does not matter for votes."""
    fields = {
        "domain": domain_of(policy),
        "label": receipt_label(witness),
        "signedby": witness,
        "timestamp": at_ms // 1000,
        "at": at_ms,
    }
    return make(fields | said)


def vote(number: int, record: Record, *witnesses: str) -> list[Record]:
    """These witnesses vote for the record in this round."""
    if number == 0:
        return [says(witness, first={record.id: BEGIN_MS}) for witness in witnesses]
    return [says(witness, vote={str(number): [record.id]}) for witness in witnesses]


def seat_with(*records: Record, now_ms: int = BEGIN_MS) -> Seat:
    """My seat, with these records on its disk."""
    seat = Seat(POLICY, ME)
    for record in records:
        seat.take(record, now_ms)
    return seat


def said_by(seat: Seat, now_ms: int) -> dict[str, Any]:
    """What the next receipt says, without its frame; nothing if there is none."""
    seat.voter.go_on(now_ms)
    fields = seat.voter.draft(now_ms) or {}
    if fields:
        seat.voter.on_signed("e" * 64, fields["at"])
    return {name: value for name, value in fields.items() if name in ("first", "seen", "vote", "commit")}


def test_the_first_candidate_of_a_slot_is_the_vote_of_round_0_and_others_are_only_seen() -> None:
    seat = seat_with(FOUNDED, RIVAL)

    assert said_by(seat, BEGIN_MS) == {"first": {FOUNDED.id: BEGIN_MS}, "seen": {RIVAL.id: BEGIN_MS}}


def test_each_receipt_names_the_one_before_and_its_time_rises_whatever_the_clock_does() -> None:
    seat = seat_with(FOUNDED)
    one = seat.speak(BEGIN_MS)
    assert one is not None
    an_hour_ms = 3_600_000
    seat.take(RIVAL, BEGIN_MS - an_hour_ms)

    fields = seat.voter.draft(BEGIN_MS + RECEIPT_INTERVAL_MS)

    assert fields is not None
    assert fields["prev"] == one.id
    assert (fields["seen"], fields["at"]) == ({RIVAL.id: BEGIN_MS + 1}, BEGIN_MS + RECEIPT_INTERVAL_MS)


def test_receipts_are_dated_by_the_wall_clock_and_timed_by_one_that_never_goes_back() -> None:
    """Otherwise a witness whose clock was put back by an hour would say nothing for an hour."""
    an_hour_ms = 3_600_000
    seat = seat_with()
    seat.voter.wall_offset_ms = an_hour_ms
    seat.take(FOUNDED, BEGIN_MS)

    assert said_by(seat, BEGIN_MS) == {"first": {FOUNDED.id: BEGIN_MS + an_hour_ms}}
    seat.voter.wall_offset_ms = 0
    seat.take(RIVAL, BEGIN_MS)
    assert said_by(seat, BEGIN_MS + RECEIPT_INTERVAL_MS) == {"seen": {RIVAL.id: BEGIN_MS + an_hour_ms + 1}}


def test_receipts_leave_at_an_interval() -> None:
    seat = seat_with(FOUNDED)
    seat.speak(BEGIN_MS)
    seat.take(RIVAL, BEGIN_MS)

    assert seat.voter.next_at_ms == BEGIN_MS + RECEIPT_INTERVAL_MS
    assert said_by(seat, BEGIN_MS + RECEIPT_INTERVAL_MS - 1) == {}
    assert said_by(seat, BEGIN_MS + RECEIPT_INTERVAL_MS) == {"seen": {RIVAL.id: BEGIN_MS + 1}}


def test_a_full_receipt_is_followed_at_once() -> None:
    rivals = [founding(POLICY, author) for author in range(ENTRIES_MAX + 1)]
    seat = seat_with(*rivals)

    full, rest = said_by(seat, BEGIN_MS), said_by(seat, BEGIN_MS)

    assert len(full["first"]) + len(full["seen"]) == ENTRIES_MAX
    assert rest == {"seen": {rivals[-1].id: BEGIN_MS + 1}}


def test_a_domain_in_which_nothing_happens_costs_nothing() -> None:
    seat = seat_with()

    assert (seat.voter.draft(BEGIN_MS), seat.voter.next_at_ms) == (None, None)


def test_a_quorum_of_votes_in_the_round_is_committed_once() -> None:
    seat = seat_with(FOUNDED)
    seat.speak(BEGIN_MS)
    for each in vote(0, FOUNDED, SECOND, THIRD):
        seat.take(each, BEGIN_MS)

    assert said_by(seat, BEGIN_MS + RECEIPT_INTERVAL_MS) == {"commit": {"0": [FOUNDED.id]}}
    assert said_by(seat, BEGIN_MS + 2 * RECEIPT_INTERVAL_MS) == {}


def test_the_last_vote_of_a_quorum_leaves_with_the_commit() -> None:
    seat = seat_with(FOUNDED, *vote(0, FOUNDED, SECOND, THIRD))

    receipt = {"first": {FOUNDED.id: BEGIN_MS}, "commit": {"0": [FOUNDED.id]}}
    assert said_by(seat, BEGIN_MS) == receipt
    assert said_by(seat, BEGIN_MS + RECEIPT_INTERVAL_MS) == {}


def test_the_only_witness_decides_with_one_receipt_and_of_rivals_the_first() -> None:
    seat = Seat(ALONE, ME)
    claim, rival = (founding(ALONE, author) for author in (1, 2))
    seat.take(claim, BEGIN_MS)
    seat.take(rival, BEGIN_MS)

    seat.speak(BEGIN_MS)

    assert seat.decided == {(LABEL, None): {claim.id}}


def test_a_vote_for_a_record_to_which_a_quorum_is_missing_leaves_alone() -> None:
    seat = seat_with(FOUNDED, RIVAL, *vote(0, RIVAL, SECOND, THIRD))

    assert said_by(seat, BEGIN_MS) == {"first": {FOUNDED.id: BEGIN_MS}, "seen": {RIVAL.id: BEGIN_MS}}


def test_fewer_votes_than_a_quorum_are_not_committed() -> None:
    seat = seat_with(FOUNDED, *vote(0, FOUNDED, SECOND))
    seat.speak(BEGIN_MS)

    assert said_by(seat, BEGIN_MS + RECEIPT_INTERVAL_MS) == {}


def test_in_the_last_quarter_of_a_round_nothing_is_committed() -> None:
    """Others may have left the round before they hear of it."""
    seat = seat_with(FOUNDED, RIVAL, *vote(0, RIVAL, SECOND, THIRD))
    seat.speak(BEGIN_MS)
    late_ms = BEGIN_MS + ROUND_MS * 3 // 4
    said_by(seat, late_ms - 1)
    seat.take(says(FOURTH, first={RIVAL.id: BEGIN_MS}), late_ms)

    assert said_by(seat, late_ms + RECEIPT_INTERVAL_MS) == {}


def test_the_time_of_a_round_runs_only_once_a_quorum_has_voted() -> None:
    """Otherwise a witness that hears of a slot long after the others never finds them in its round."""
    an_hour_ms = 3_600_000
    seat = seat_with(FOUNDED, RIVAL, *vote(0, RIVAL, SECOND))
    seat.speak(BEGIN_MS)

    assert said_by(seat, BEGIN_MS + an_hour_ms) == {}
    assert [slot.round for slot in seat.voter.open_slots()] == [0]


def split_seat() -> Seat:
    """My seat in round 1: three witnesses voted in round 0, for two rivals."""
    seat = seat_with(FOUNDED, RIVAL, *vote(0, RIVAL, SECOND, THIRD))
    seat.speak(BEGIN_MS)
    said_by(seat, BEGIN_MS + ROUND_MS)
    return seat


ROUND_1_MS = BEGIN_MS + ROUND_MS


def test_in_a_later_round_a_witness_waits_for_the_vote_of_the_speaker() -> None:
    seat = split_seat()

    assert [slot.round for slot in seat.voter.open_slots()] == [1]
    assert said_by(seat, ROUND_1_MS + RECEIPT_INTERVAL_MS) == {}


def test_the_vote_of_the_speaker_is_followed() -> None:
    seat = split_seat()
    seat.take(vote(1, RIVAL, SPEAKER_OF_1)[0], ROUND_1_MS)

    assert said_by(seat, ROUND_1_MS + RECEIPT_INTERVAL_MS) == {"vote": {"1": [RIVAL.id]}}


def test_a_silent_speaker_is_waited_for_half_of_the_round() -> None:
    seat = split_seat()
    half_ms = 2 * ROUND_MS // 2

    assert said_by(seat, ROUND_1_MS + half_ms - 1) == {}
    assert list(said_by(seat, ROUND_1_MS + half_ms)) == ["vote"]


def test_the_speaker_itself_votes_at_once_for_what_the_walk_would_take() -> None:
    seat = seat_with(FOUNDED, RIVAL, *vote(0, RIVAL, SECOND, THIRD))
    seat.speak(BEGIN_MS)
    for record in vote(4, RIVAL, THIRD, FOURTH):  # two others are in round 4, so one of them is honest
        seat.take(record, BEGIN_MS)

    assert POLICY.speaker(4) == SPEAKER_OF_4
    assert said_by(seat, BEGIN_MS + RECEIPT_INTERVAL_MS) == {"vote": {"4": [seat.walk().chain[0].id]}}


def test_one_witness_alone_draws_nobody_into_a_later_round() -> None:
    """It may be the liar."""
    seat = seat_with(FOUNDED, *vote(4, FOUNDED, THIRD))
    said_by(seat, BEGIN_MS)

    assert [slot.round for slot in seat.voter.open_slots()] == [0]


def committed_seat() -> Seat:
    """My seat in round 1, after it committed FOUNDED in round 0."""
    seat = seat_with(FOUNDED, RIVAL, *vote(0, FOUNDED, SECOND, THIRD))
    seat.speak(BEGIN_MS)
    seat.speak(BEGIN_MS + RECEIPT_INTERVAL_MS)
    said_by(seat, ROUND_1_MS)
    return seat


def test_what_was_committed_is_voted_for_although_the_speaker_votes_for_another() -> None:
    seat = committed_seat()
    seat.take(vote(1, RIVAL, SPEAKER_OF_1)[0], ROUND_1_MS)

    assert said_by(seat, ROUND_1_MS + RECEIPT_INTERVAL_MS) == {"vote": {"1": [FOUNDED.id]}}


def test_a_quorum_for_another_in_a_round_not_below_the_commit_frees_from_it() -> None:
    seat = committed_seat()
    for record in (*vote(1, RIVAL, SECOND, THIRD, FOURTH), *vote(2, RIVAL, POLICY.speaker(2), FOURTH)):
        seat.take(record, ROUND_1_MS)

    assert said_by(seat, ROUND_1_MS + RECEIPT_INTERVAL_MS)["vote"]["2"] == [RIVAL.id]


def test_after_a_crash_nothing_is_said_twice() -> None:
    seat = committed_seat()

    seat.restart(ROUND_1_MS)

    assert said_by(seat, ROUND_1_MS) == {}
    assert said_by(seat, ROUND_1_MS + RECEIPT_INTERVAL_MS) == {}


def test_after_a_crash_the_next_receipt_goes_on_from_the_newest() -> None:
    seat = seat_with(FOUNDED)
    one = seat.speak(BEGIN_MS)
    assert one is not None
    seat.restart(BEGIN_MS)
    seat.take(RIVAL, BEGIN_MS)

    fields = seat.voter.draft(BEGIN_MS)

    assert fields is not None
    assert (fields["prev"], fields["seen"]) == (one.id, {RIVAL.id: BEGIN_MS + 1})


def test_a_decided_slot_is_no_longer_spoken_of() -> None:
    seat = seat_with(FOUNDED)
    for witness in (SECOND, THIRD, FOURTH):
        seat.take(says(witness, commit={"0": [FOUNDED.id]}), BEGIN_MS)
    seat.take(RIVAL, BEGIN_MS)

    assert (said_by(seat, BEGIN_MS), list(seat.voter.open_slots())) == ({}, [])


def test_ballots_past_the_limit_of_a_receipt_leave_with_the_next() -> None:
    ids = [f"{number:064x}" for number in range(BALLOTS_MAX + 1)]
    testimony = Testimony(POLICY)
    voter = Voter(domain_of(POLICY), POLICY, ME, testimony.evidence)
    for number, record_id in enumerate(ids):
        voter.on_candidate((f"{LABEL}{number}", None), record_id, BEGIN_MS)

    receipts = []
    for turn in range(4):
        now_ms = BEGIN_MS + turn * RECEIPT_INTERVAL_MS
        voter.go_on(now_ms)
        receipt = receipt_of(make(voter.draft(now_ms) or {}))
        assert receipt is not None
        voter.on_signed(receipt.id, receipt.at_ms)
        voter.on_testimony(testimony.add(receipt).said)
        receipts.append((len(receipt.first), len(list(receipt.all_commits()))))
        for other in (SECOND, THIRD) if turn == 1 else ():
            for some in (ids[:ENTRIES_MAX], ids[ENTRIES_MAX:]):
                voted = receipt_of(says(other, first=dict.fromkeys(some, BEGIN_MS)))
                assert voted is not None
                voter.on_testimony(testimony.add(voted).said)

    assert receipts == [(ENTRIES_MAX, 0), (1, 0), (0, BALLOTS_MAX), (0, 1)]


RUNS = 12


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_schedule_decides_two_records_in_one_slot(case: Case) -> None:
    runs = [explore(seed, case) for seed in range(RUNS)]

    assert max(run.most_decided for run in runs) == 1
    assert sum(run.slots_decided for run in runs) > 0


class _Careless(Policy, frozen=True):
    """A policy whose quorum is a half: two quorums need not share anybody."""

    @property
    def quorum(self) -> int:
        return len(self.witnesses) // 2


def test_the_exploration_finds_a_quorum_that_is_too_small() -> None:
    case = Case(witnesses=4, faulty=1, liars=1)
    careless = _Careless(POLICY.faulty, POLICY.witnesses)

    assert any(explore(seed, case, careless).most_decided > 1 for seed in range(RUNS))


def test_a_follower_of_a_candidate_is_voted_on_before_the_candidate_is_decided() -> None:
    """A chain does not wait for one agreement after another."""
    after = follower(POLICY, FOUNDED, author=1)
    seat = seat_with(FOUNDED, after)

    assert said_by(seat, BEGIN_MS) == {"first": {FOUNDED.id: BEGIN_MS, after.id: BEGIN_MS}}
