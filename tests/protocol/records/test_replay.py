"""The state of a label is a pure function of the set of its records."""

import random
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from protocol.records.record import Record
from protocol.records.replay import EMPTY, REASONS, Replay, State, Verdict, replay
from tests.history import ALICE, BOB, CAROL, NOWHERE, claim, histories, offer

FOUNDED = claim("garden", by=ALICE, at=10)
OFFERED = offer("garden", by=ALICE, to=BOB, at=20)
TAKEN = claim("garden", by=BOB, at=30)
"""Alice founds the label and offers it to Bob, and Bob accepts."""

BRANCHES = {
    "no tip, no prev: founded": ([], claim("garden", by=BOB, at=40), "founded"),
    "no tip, no prev, an offer: founded": ([], offer("garden", by=BOB, to=CAROL, at=40), "founded"),
    "no tip, a prev: orphan": ([], claim("garden", by=BOB, at=40, prev=NOWHERE), "orphan"),
    "the owner, no prev: updated": ([FOUNDED], claim("garden", by=ALICE, at=40), "updated"),
    "the owner, the tip as prev: updated": ([FOUNDED], claim("garden", by=ALICE, at=40, prev=FOUNDED), "updated"),
    "the owner, an offer: offered": ([FOUNDED], offer("garden", by=ALICE, to=BOB, at=40), "offered"),
    "the owner, an offer to herself: offered": ([FOUNDED], offer("garden", by=ALICE, to=ALICE, at=40), "offered"),
    "the owner, an offer repeated: offered": ([FOUNDED, OFFERED], offer("garden", ALICE, BOB, at=40), "offered"),
    "the owner, who withdraws an offer: updated": ([FOUNDED, OFFERED], claim("garden", by=ALICE, at=40), "updated"),
    "the owner, another prev: stale": ([FOUNDED, OFFERED], claim("garden", ALICE, at=40, prev=FOUNDED), "stale"),
    "the owner, an unknown prev: stale": ([FOUNDED], claim("garden", by=ALICE, at=40, prev=NOWHERE), "stale"),
    "offered, no prev: transferred": ([FOUNDED, OFFERED], claim("garden", by=BOB, at=40), "transferred"),
    "offered, the tip as prev: transferred": (
        [FOUNDED, OFFERED],
        claim("garden", by=BOB, at=40, prev=OFFERED),
        "transferred",
    ),
    "offered, who offers it to another: transferred": (
        [FOUNDED, OFFERED],
        offer("garden", by=BOB, to=CAROL, at=40),
        "transferred",
    ),
    "offered, another prev: stale": ([FOUNDED, OFFERED], claim("garden", by=BOB, at=40, prev=FOUNDED), "stale"),
    "a stranger, no prev: rival": ([FOUNDED], claim("garden", by=CAROL, at=40), "rival"),
    "a stranger, no prev, an offer: rival": ([FOUNDED], offer("garden", by=CAROL, to=BOB, at=40), "rival"),
    "a stranger, a prev: not owner": ([FOUNDED], claim("garden", by=CAROL, at=40, prev=FOUNDED), "not_owner"),
    "a former owner, no prev: not owner": ([FOUNDED, OFFERED, TAKEN], claim("garden", ALICE, at=40), "not_owner"),
    "a former owner, the tip as prev: not owner": (
        [FOUNDED, OFFERED, TAKEN],
        claim("garden", by=ALICE, at=40, prev=TAKEN),
        "not_owner",
    ),
    "a lapsed offer, no prev: not owner": (
        [FOUNDED, OFFERED, claim("garden", by=ALICE, at=30)],
        claim("garden", by=BOB, at=40),
        "not_owner",
    ),
    "a lapsed offer of the founding record: not owner": (
        [offer("garden", by=ALICE, to=BOB, at=10), claim("garden", by=ALICE, at=30)],
        claim("garden", by=BOB, at=40),
        "not_owner",
    ),
}


@pytest.mark.parametrize(("history", "record", "verdict"), BRANCHES.values(), ids=BRANCHES)
def test_each_branch_of_the_rule_gives_its_verdict(history: list[Record], record: Record, verdict: str) -> None:
    result = replay([*history, record])

    assert result.verdict(record) == verdict
    accepted = verdict in {"founded", "updated", "offered", "transferred"}
    assert Verdict(verdict).is_accepted is accepted
    assert (result.state.tip is not None and result.state.tip.id == record.id) is accepted
    assert result.state.contested is (verdict == "rival")


def test_the_table_contains_every_verdict_and_each_has_a_reason() -> None:
    """`pending` is a verdict of witnessed domains only."""
    assert {verdict for _, _, verdict in BRANCHES.values()} == set(Verdict) - {Verdict.PENDING}
    assert set(REASONS) == set(Verdict)


def literal(history: Iterable[Record]) -> dict[str, str]:
    """The pseudo-code of docs/protocol.md, line by line. It shares no code with the module."""
    tip: Record | None = None
    ever: list[str | None] = []
    verdicts: dict[str, str] = {}
    for record in sorted(history, key=lambda record: (record.timestamp, record.id)):
        if tip is None:
            verdict = "founded" if record.prev is None else "orphan"
        elif record.signedby == tip.signedby or record.signedby == tip.newowner:
            if record.prev is None or record.prev == tip.id:
                if record.signedby == tip.newowner and record.signedby != tip.signedby:
                    verdict = "transferred"
                else:
                    verdict = "offered" if record.newowner is not None else "updated"
            else:
                verdict = "stale"
        else:
            verdict = "rival" if record.prev is None and record.signedby not in ever else "not_owner"
        verdicts[record.id] = verdict
        if verdict in {"founded", "updated", "offered", "transferred"}:
            tip = record
            ever += [record.signedby, record.newowner]
    return verdicts


@given(histories())
def test_replay_equals_the_pseudo_code_of_the_contract(history: list[Record]) -> None:
    expected = literal(history)
    for verdict in set(expected.values()):
        event(verdict)

    result = replay(history)

    assert result.verdicts == expected
    assert [judged.record.order_key for judged in result.judged] == sorted(record.order_key for record in history)
    assert result.state.contested is ("rival" in expected.values())


@given(histories(), st.randoms(use_true_random=False))
def test_any_order_and_any_repeats_of_a_set_give_the_same_state(history: list[Record], chance: random.Random) -> None:
    other = [*history, *chance.sample(history, chance.randint(0, len(history)))]
    chance.shuffle(other)

    assert replay(other) == replay(history)


@given(histories(), st.integers(0, 9))
def test_a_history_replayed_in_two_parts_ends_in_the_same_state(history: list[Record], cut: int) -> None:
    """A node that keeps only the state extends it with newer records like this."""
    history.sort(key=lambda record: record.order_key)

    state = replay(history[:cut]).state
    for record in history[cut:]:
        state, _ = state.extend(record)

    assert state == replay(history).state


@given(histories())
def test_every_accepted_record_is_signed_by_a_key_that_its_parent_names(history: list[Record]) -> None:
    chain = replay(history).chain

    for parent, child in pairwise(chain):
        assert child.signedby in (parent.signedby, parent.newowner)
        assert child.prev in (None, parent.id)
        assert child.order_key > parent.order_key
    assert all(record.prev is None for record in chain[:1])


@given(histories())
def test_the_state_follows_from_the_chain(history: list[Record]) -> None:
    result = replay(history)

    head = result.chain[-1] if result.chain else None
    assert (result.state.tip.id if result.state.tip else None) == (head.id if head else None)
    assert result.state.owner == (head.signedby if head else None)
    assert result.state.newest == max((record.order_key for record in history), default=(0, ""))
    assert result.state.named == {key for record in result.chain for key in (record.signedby, record.newowner) if key}


@given(histories())
def test_each_verdict_names_the_tip_by_which_it_was_judged(history: list[Record]) -> None:
    tip: str | None = None
    for judged in replay(history).judged:
        assert judged.tip == tip
        if judged.verdict.is_accepted:
            tip = judged.record.id


def test_a_history_without_records_gives_the_empty_state() -> None:
    assert replay([]) == Replay(EMPTY, [])
    assert State() == EMPTY
    assert EMPTY.owner is None


def test_an_offer_lapses_when_the_owner_writes_again() -> None:
    """Otherwise a buyer could keep a dead offer and take the label with it years later."""
    history = [FOUNDED, OFFERED, claim("garden", by=ALICE, at=30)]

    late = claim("garden", by=BOB, at=40)

    assert replay([*history, late]).verdict(late) == Verdict.NOT_OWNER
    assert replay([*history, late]).state.owner == ALICE.public


def test_an_offer_passes_to_another_key_when_the_owner_makes_another() -> None:
    history = [FOUNDED, OFFERED, offer("garden", by=ALICE, to=CAROL, at=30)]

    bob, carol = claim("garden", by=BOB, at=40), claim("garden", by=CAROL, at=41)

    assert replay([*history, bob, carol]).verdicts == {
        FOUNDED.id: "founded",
        OFFERED.id: "offered",
        history[2].id: "offered",
        bob.id: "not_owner",
        carol.id: "transferred",
    }


def test_a_former_owner_comes_back_only_by_an_offer() -> None:
    history = [FOUNDED, OFFERED, TAKEN]
    alone = claim("garden", by=ALICE, at=40)
    back = offer("garden", by=BOB, to=ALICE, at=50)
    again = claim("garden", by=ALICE, at=60)

    result = replay([*history, alone, back, again])

    assert [judged.verdict for judged in result.judged][3:] == ["not_owner", "offered", "transferred"]
    assert result.state.owner == ALICE.public


def test_a_rival_founder_makes_a_label_contested_and_changes_nothing_else() -> None:
    rival = claim("garden", by=CAROL, at=25)

    before, after = replay([FOUNDED, OFFERED, TAKEN]), replay([FOUNDED, OFFERED, rival, TAKEN])

    assert (before.state.contested, after.state.contested) == (False, True)
    assert before.chain == after.chain


def test_the_older_of_two_founders_owns_the_label_even_if_it_arrives_later() -> None:
    older = claim("garden", by=BOB, at=9)

    result = replay([FOUNDED, older])

    assert result.verdicts == {older.id: "founded", FOUNDED.id: "rival"}
    assert result.state.owner == BOB.public


def test_of_two_founders_in_one_second_the_smaller_id_wins() -> None:
    first, second = sorted((claim("garden", by=key, at=10) for key in (ALICE, BOB)), key=lambda record: record.id)

    assert replay([second, first]).verdicts == {first.id: "founded", second.id: "rival"}


def test_two_updates_in_one_second_are_both_accepted_in_the_order_of_their_ids() -> None:
    first, second = sorted((claim("garden", at=20, n=n) for n in range(2)), key=lambda record: record.id)

    assert [record.id for record in replay([FOUNDED, second, first]).chain] == [FOUNDED.id, first.id, second.id]


def test_of_two_updates_with_the_same_prev_only_the_first_is_accepted() -> None:
    """This is a signed compare-and-swap between two machines of one owner that do not know of each other."""
    one, other = (claim("garden", by=ALICE, at=at, prev=FOUNDED) for at in (20, 21))

    assert replay([FOUNDED, one, other]).verdicts == {FOUNDED.id: "founded", one.id: "updated", other.id: "stale"}


def test_a_late_record_makes_the_record_that_names_it_accepted() -> None:
    middle = claim("garden", by=ALICE, at=20)
    last = claim("garden", by=ALICE, at=30, prev=middle)

    assert replay([FOUNDED, last]).verdict(last) == "stale"
    assert replay([FOUNDED, last, middle]).verdict(last) == "updated"


def test_a_record_that_names_no_new_key_does_not_copy_the_set_of_keys() -> None:
    """An update of a label that changed hands ten thousand times takes no longer than an update of a fresh label."""
    state = replay([FOUNDED, OFFERED]).state

    for record in (offer("garden", by=ALICE, to=BOB, at=30), claim("garden", by=BOB, at=31)):
        extended, verdict = state.extend(record)

        assert verdict.is_accepted
        assert extended.named is state.named


def test_a_state_is_extended_only_by_records_newer_than_all_records_even_refused_ones() -> None:
    refused = claim("garden", by=CAROL, at=50)
    state = replay([FOUNDED, refused]).state

    between, newer = claim("garden", by=ALICE, at=40), claim("garden", by=ALICE, at=51)

    assert (state.is_extended_by(between), state.is_extended_by(refused)) == (False, False)
    assert state.is_extended_by(newer)
    with pytest.raises(AssertionError):
        state.extend(between)
