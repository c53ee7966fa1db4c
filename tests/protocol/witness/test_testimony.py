"""Which statements of witnesses count, in whatever order they arrive."""

from collections.abc import Mapping, Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from protocol.witness.receipt import Receipt, receipt_label
from protocol.witness.testimony import (
    FORKS_MAX,
    SILENCE,
    Act,
    Evidence,
    Fork,
    Forks,
    Heard,
    Link,
    Merges,
    Testimony,
    add_said,
)
from tests.protocol.witness.council import council_policy, key_of

POLICY = council_policy(witnesses=4, faulty=1)
WITNESS, OTHER, STRANGER = key_of(0), key_of(1), key_of(8)
CLAIM = "c" * 64


def receipt(
    name: str,
    at_ms: int,
    prev: str | None = None,
    *,
    by: str = WITNESS,
    seen_ms: int | None = None,
    votes: Sequence[int] = (),
    commits: Sequence[int] = (),
) -> Receipt:
    """A receipt that speaks of CLAIM alone."""
    return Receipt(
        id=name,
        witness=by,
        prev=prev,
        at_ms=at_ms,
        first={},
        seen={} if seen_ms is None else {CLAIM: seen_ms},
        votes=dict.fromkeys(votes, (CLAIM,)),
        commits=dict.fromkeys(commits, (CLAIM,)),
        size_bytes=100,
    )


def testimony_of(*receipts: Receipt) -> Testimony:
    testimony = Testimony(POLICY)
    for each in receipts:
        testimony.add(each)
    return testimony


def times_of(*receipts: Receipt) -> Mapping[str, int]:
    return testimony_of(*receipts).evidence(CLAIM).times_ms


def test_an_entry_counts_after_the_receipt_before_and_up_to_its_own() -> None:
    begin = receipt("one", 1_000)

    assert times_of(begin, receipt("two", 2_000, "one", seen_ms=1_001)) == {WITNESS: 1_001}
    assert times_of(begin, receipt("two", 2_000, "one", seen_ms=2_000)) == {WITNESS: 2_000}
    assert times_of(begin, receipt("two", 2_000, "one", seen_ms=1_000)) == {}
    assert times_of(begin, receipt("two", 2_000, "one", seen_ms=2_001)) == {}


def test_the_least_time_of_a_witness_counts() -> None:
    assert times_of(receipt("one", 1_000, seen_ms=900), receipt("two", 2_000, "one", seen_ms=1_500)) == {WITNESS: 900}


def test_a_receipt_whose_chain_does_not_reach_the_first_gives_no_time() -> None:
    assert times_of(receipt("two", 2_000, "one", seen_ms=1_500)) == {}


def test_a_receipt_that_fills_a_gap_makes_those_after_it_count() -> None:
    testimony = testimony_of(receipt("two", 2_000, "one", seen_ms=1_500), receipt("three", 3_000, "two"))

    heard = testimony.add(receipt("one", 1_000))

    assert heard == Heard(
        {CLAIM: Evidence({WITNESS: 1_500})},
        {
            "one": Link(WITNESS, None, 1_000, is_sound=True),
            "two": Link(WITNESS, "one", 2_000, is_sound=True),
            "three": Link(WITNESS, "two", 3_000, is_sound=True),
        },
    )
    assert testimony.evidence(CLAIM).times_ms == {WITNESS: 1_500}


def test_a_chain_in_which_at_does_not_rise_is_not_sound() -> None:
    assert times_of(receipt("one", 1_000), receipt("two", 1_000, "one", seen_ms=1_000)) == {}


def test_a_chain_through_another_witness_is_not_sound() -> None:
    assert times_of(receipt("one", 1_000, by=OTHER), receipt("two", 2_000, "one", seen_ms=1_500)) == {}


def test_votes_and_commits_count_wherever_they_stand() -> None:
    """Otherwise a proof would need whole chains, and a vote that was counted could be taken back."""
    evidence = testimony_of(receipt("nine", 9_000, "eight", votes=[1], commits=[1, 2])).evidence(CLAIM)

    assert evidence == Evidence(votes={1: {WITNESS: "nine"}}, commits={1: {WITNESS: "nine"}, 2: {WITNESS: "nine"}})


def test_what_a_stranger_signs_counts_for_nothing() -> None:
    testimony = Testimony(POLICY)

    heard = testimony.add(receipt("one", 1_000, by=STRANGER, seen_ms=900, commits=[0]))

    assert (heard, testimony.evidence(CLAIM)) == (Heard(), Evidence())


def test_two_receipts_on_one_prev_are_a_fork_and_both_count() -> None:
    left, right = receipt("left", 2_000, "one", seen_ms=1_500), receipt("right", 2_000, "one", commits=[0])
    testimony = testimony_of(receipt("one", 1_000), right, left)

    fork = Fork(WITNESS, Act.RECEIPT, receipt_label(WITNESS), "one", 0, ("left", "right"))
    assert (testimony.fork_at(left), testimony.fork_at(right)) == (fork, fork)
    assert testimony.evidence(CLAIM) == Evidence(times_ms={WITNESS: 1_500}, commits={0: {WITNESS: "right"}})


def test_a_record_is_ordered_once_more_witnesses_than_may_lie_have_seen_it() -> None:
    once = testimony_of(receipt("one", 1_000, seen_ms=700))
    twice = testimony_of(receipt("one", 1_000, seen_ms=700), receipt("two", 1_000, by=OTHER, seen_ms=800))

    assert once.evidence(CLAIM).ordered_ms(POLICY) is None
    assert twice.evidence(CLAIM).ordered_ms(POLICY) == 800


def test_a_quorum_in_one_round_decides_and_the_same_commits_over_two_rounds_do_not() -> None:
    split = testimony_of(
        *(receipt(key, 1_000, by=key, commits=[at % 2]) for at, key in enumerate(POLICY.witnesses[:3]))
    )
    whole = testimony_of(*(receipt(key, 1_000, by=key, commits=[5]) for key in POLICY.witnesses[:3]))

    assert not split.evidence(CLAIM).is_decided(POLICY)
    assert whole.evidence(CLAIM).deciding_round(POLICY) == 5


CHAIN = [
    receipt("one", 1_000, seen_ms=900, votes=[1]),
    receipt("two", 2_000, "one", seen_ms=800),
    receipt("three", 3_000, "two", seen_ms=2_500, commits=[0]),
    receipt("fork", 2_500, "one", seen_ms=1_001, votes=[2]),
    receipt("after", 4_000, "fork", seen_ms=2_600),
    receipt("first", 1_500, by=OTHER, seen_ms=1_400),
    receipt("second", 1_600, "first", by=OTHER, commits=[0]),
    receipt("lost", 1_700, "nothing", by=OTHER, seen_ms=1_650),
]


@given(st.permutations(CHAIN), st.lists(st.sampled_from(CHAIN)))
def test_any_order_of_arrival_and_any_repeat_give_the_same(order: list[Receipt], repeats: list[Receipt]) -> None:
    expected = testimony_of(*CHAIN)

    testimony = testimony_of(*order, *repeats)

    assert testimony.evidence(CLAIM) == expected.evidence(CLAIM)
    assert [testimony.fork_at(each) for each in CHAIN] == [expected.fork_at(each) for each in CHAIN]


def test_of_a_witness_that_lies_everywhere_so_many_forks_are_kept() -> None:
    """A liar can lie in every slot of its own domain, and one fork proves that it lied."""
    lies = [Fork("liar", Act.VOTE, f"label-{n}", None, 0, (f"{n}a", f"{n}b")) for n in range(FORKS_MAX + 1)]
    other = Fork("other", Act.VOTE, "label-0", None, 0, ("c", "d"))
    forks = Forks([*lies, other])
    earlier = msgspec.structs.replace(lies[0], act=Act.RECEIPT)

    forks.note(earlier)

    assert list(forks.pairs()) == [*lies[1:FORKS_MAX], other, earlier]


def test_records_of_which_the_same_was_said_share_their_evidence() -> None:
    seen, committed = Evidence({"w": 1}, {0: {"w": "r"}}), Evidence(commits={0: {"w": "s"}})
    known = {"one": seen, "other": seen}

    add_said(known, {"one": committed, "other": committed, "third": committed})

    assert known == {"one": seen.with_more(committed), "other": seen.with_more(committed), "third": committed}
    assert known["one"] is known["other"]


def test_what_was_known_is_no_news() -> None:
    seen, more = Evidence({"w": 1}), Evidence({"w": 1, "v": 2})
    merges = Merges()

    news = [merges.news(seen, more), merges.news(more, seen), merges.news(SILENCE, seen)]

    assert news == [(Evidence({"v": 2}), more), (SILENCE, more), (seen, seen)]
