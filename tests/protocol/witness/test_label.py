"""A label that is kept up to date has the state that a walk through the same set gives."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.records.record import Record, make
from protocol.records.replay import Verdict
from protocol.witness.change import LabelChange
from protocol.witness.label import WitnessedLabel
from protocol.witness.policy import Policy, policy_of
from protocol.witness.receipt import receipt_of
from protocol.witness.testimony import SILENCE, Evidence, Testimony
from protocol.witness.walk import Standings, slots_of, walk
from tests.protocol.witness.council import council_policy, follower, founding
from tests.protocol.witness.test_walk import FILES

ORDERS = 4


def assert_like_a_walk(label: WitnessedLabel, records: list[Record], testimony: Testimony) -> None:
    expected = walk(testimony.policy, records, testimony.evidence)

    assert tuple(label.chain) == expected.chain
    assert label.final == expected.final
    assert label.verdicts == expected.verdicts
    assert {record.id: label.ordered_ms(record.id) for record in records} == expected.ordered_ms
    assert sorted(map(str, label.doubly_decided)) == sorted(map(str, expected.doubly_decided))
    assert_waiting(label, records, testimony.policy, testimony.evidence)


def assert_waiting(
    label: WitnessedLabel, records: list[Record], policy: Policy, evidence: Callable[[str], Evidence]
) -> None:
    """Those count as undecided that the walk can still come to, from the founding on: all candidates of a slot lead on
    while none of them is decided, and then only those that are.
    """
    slots = slots_of({record.id: record for record in records})
    waiting: set[str] = set()
    reached: list[str | None] = [None]
    while reached:
        candidates = [record.id for record in slots.get(reached.pop(), ())]
        decided = [each for each in candidates if evidence(each).is_decided(policy)]
        waiting |= set() if decided else set(candidates)
        reached += decided or candidates

    assert {record.id for record in label.all_contenders()} == waiting
    assert label.undecided == len(waiting)


@pytest.mark.skipif(not FILES, reason="the vectors are not beside this checkout")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_after_each_record_the_state_is_that_of_a_walk(path: Path) -> None:
    records = [make(signed["record"]) for signed in json.loads(path.read_text())["records"]]
    policy = next((policy for record in records if (policy := policy_of(record)) is not None), None)
    if policy is None:
        pytest.skip("this vector has no policy record")
    for order in range(ORDERS):
        Random(f"{path.stem} {order}").shuffle(records)
        testimony = Testimony(policy)
        labels: dict[str, WitnessedLabel] = {}
        held: dict[str, list[Record]] = {}

        for record in records:
            if record.is_of_witnesses:
                receipt = receipt_of(record)
                said = testimony.add(receipt).said if receipt is not None else {}
                for label in labels.values():
                    label.apply((), said)
            else:
                labels.setdefault(record.label, WitnessedLabel(Standings(policy), testimony.evidence)).apply([record])
                held.setdefault(record.label, []).append(record)

            for name, label in labels.items():
                assert_like_a_walk(label, held[name], testimony)


POLICY = council_policy(witnesses=4, faulty=1)
FOUNDED = founding(POLICY, author=1)
RIVAL = founding(POLICY, author=2)
UPDATED = follower(POLICY, FOUNDED, author=1)


DECIDED = Evidence(commits={0: dict.fromkeys(POLICY.witnesses, "receipt")})


def seen_at(witnesses: Sequence[str], ms: int) -> Evidence:
    return Evidence(dict.fromkeys(witnesses, ms))


class Said:
    """What the witnesses said, as a test writes it."""

    def __init__(self) -> None:
        self.evidence: dict[str, Evidence] = {}
        self.label = WitnessedLabel(Standings(POLICY), lambda record_id: self.evidence.get(record_id, SILENCE))

    def seen(self, record: Record, ms: int) -> LabelChange:
        return self._hear(record, seen_at(POLICY.witnesses, ms))

    def decided(self, record: Record) -> LabelChange:
        return self._hear(record, DECIDED)

    def _hear(self, record: Record, more: Evidence) -> LabelChange:
        self.evidence[record.id] = self.evidence.get(record.id, SILENCE).with_more(more)
        return self.label.apply((), {record.id: more})


def test_a_record_becomes_the_head_when_witnesses_have_seen_it_and_final_when_they_decide_it() -> None:
    said = Said()

    pending = said.label.apply([FOUNDED])
    ordered = said.seen(FOUNDED, ms=10)
    final = said.decided(FOUNDED)

    assert pending == LabelChange({FOUNDED.id: Verdict.PENDING}, 0, (), (), (), (), (FOUNDED,))
    assert ordered == LabelChange({FOUNDED.id: Verdict.FOUNDED}, 0, (), (FOUNDED,), (), (), ())
    assert final == LabelChange({}, 1, (), (), (FOUNDED,), (None,), ())


def test_a_forecast_that_was_wrong_takes_back_all_that_stood_on_it() -> None:
    said = Said()
    said.label.apply([FOUNDED, UPDATED, RIVAL])
    said.seen(FOUNDED, ms=10)
    said.seen(UPDATED, ms=20)

    change = said.decided(RIVAL)

    assert (change.kept, change.taken_back, change.taken, change.finalised) == (
        0,
        (FOUNDED, UPDATED),
        (RIVAL,),
        (RIVAL,),
    )
    assert said.label.verdicts == {
        FOUNDED.id: Verdict.RIVAL,
        UPDATED.id: Verdict.ORPHAN,
        RIVAL.id: Verdict.FOUNDED,
    }


def test_a_slot_is_open_until_it_or_one_before_it_is_decided_for_another() -> None:
    said = Said()
    said.label.apply([FOUNDED, UPDATED, RIVAL])
    assert said.label.is_open(None)
    assert said.label.is_open(FOUNDED.id)

    said.decided(RIVAL)

    assert [said.label.is_open(prev) for prev in (None, FOUNDED.id, RIVAL.id)] == [False, False, True]


def test_followers_of_a_founding_that_lost_wait_for_nothing() -> None:
    """Otherwise whoever follows their own lost foundings fills the room for records that wait, for good."""
    said = Said()
    lost = follower(POLICY, RIVAL, author=2)
    said.label.apply([RIVAL, lost, follower(POLICY, lost, author=2), FOUNDED])
    assert said.label.undecided == 4

    said.decided(FOUNDED)
    late = follower(POLICY, lost, author=2, moment=9)
    said.label.apply([late])

    assert (said.label.undecided, list(said.label.all_contenders())) == (0, [])
    assert [said.label.certainty_of(record.id) for record in (RIVAL, lost, late)] == [None, None, None]


def test_a_second_decision_in_a_slot_brings_back_the_followers_of_its_record() -> None:
    """More than `faulty` witnesses lied. The walk may come to these records again, so they wait for a decision."""
    said = Said()
    said.label.apply([FOUNDED, UPDATED, RIVAL])
    said.decided(RIVAL)
    assert said.label.undecided == 0

    said.decided(FOUNDED)

    assert list(said.label.all_contenders()) == [UPDATED]
    assert list(said.label.reopened(None)) == [UPDATED]


TREE = [FOUNDED, RIVAL]
for _place, _author in ((0, 1), (0, 1), (1, 2), (2, 1), (2, 3), (6, 3), (4, 2), (5, 1)):
    TREE.append(follower(POLICY, TREE[_place], author=_author, moment=len(TREE)))
STEPS = [(record, kind) for record in TREE for kind in ("comes", "is decided")]


@given(st.permutations(STEPS))
def test_after_each_step_those_wait_that_can_still_win(steps: list[tuple[Record, str]]) -> None:
    """Also where records come before those that they follow, where strangers follow, and where liars decide twice."""
    said, held = Said(), list[Record]()
    for record, kind in steps:
        if kind == "comes":
            said.label.apply([record])
            held.append(record)
        else:
            said.decided(record)

        assert_waiting(said.label, held, POLICY, lambda record_id: said.evidence.get(record_id, Evidence()))


class Thorough(WitnessedLabel):
    """A label without the short way for a record at the end of the chain."""

    def _is_alone_at_end(self, record: Record, *, is_new: bool) -> bool:
        return False


LONG = [FOUNDED, UPDATED]
for _number in range(3):
    LONG.append(follower(POLICY, LONG[-1], author=1, moment=20 + _number))
MOST = [*LONG, RIVAL, follower(POLICY, LONG[1], author=1, moment=30), follower(POLICY, LONG[1], author=3, moment=31)]
MORE = {
    "is seen": seen_at(POLICY.witnesses[:2], 10),
    "is seen earlier": seen_at(POLICY.witnesses, 5),
    "is decided": DECIDED,
}
SAID = [(record, kind) for record in MOST for kind in ("comes", *MORE)]


@given(st.permutations(SAID), st.booleans())
def test_a_record_at_the_end_of_the_chain_changes_what_it_changes_anywhere(
    steps: list[tuple[Record, str]], is_orderly: bool
) -> None:
    """The short way says the same as the long one, and leaves the same label behind. In half of the runs all of one
    record happens before the next one comes, so that most records stand at the end.
    """
    if is_orderly:
        steps = sorted(steps, key=lambda step: MOST.index(step[0]))
    evidence: dict[str, Evidence] = defaultdict(lambda: SILENCE)
    standings = Standings(POLICY)
    label, thorough = WitnessedLabel(standings, evidence.__getitem__), Thorough(standings, evidence.__getitem__)
    for record, kind in steps:
        more = MORE.get(kind, SILENCE)
        evidence[record.id] = evidence[record.id].with_more(more)
        records, said = ([record], {}) if kind == "comes" else ((), {record.id: more})

        assert label.apply(records, said) == thorough.apply(records, said)
        assert msgspec.structs.asdict(label) == msgspec.structs.asdict(thorough)


def test_of_a_chain_that_comes_at_once_each_contender_is_named_once() -> None:
    """Each record of the chain leads to all after it. A batch of 1,000 held the loop for 0.7 s."""
    policy = council_policy(1, 0)
    chain = [founding(policy, 1)]
    for _ in range(9):
        chain.append(follower(policy, chain[-1], 1))
    label = WitnessedLabel(Standings(policy), Testimony(policy).evidence)
    label.apply(chain)

    contenders = [record.id for record in label.contenders(chain)]

    assert sorted(contenders) == sorted(record.id for record in chain)
