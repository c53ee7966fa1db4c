"""A timeline says after every late record what a replay of the whole label says."""

from collections.abc import Sequence

from hypothesis import event, given
from hypothesis import strategies as st

from protocol.records.change import Change
from protocol.records.record import Record
from protocol.records.replay import EMPTY, Verdict, judge, replay
from protocol.records.timeline import STEP_RECORDS, Timeline
from protocol.steps import Steps, finish
from tests.history import ALICE, BOB, CAROL, batches, claim, histories, offer, records
from tests.protocol.records.timelines import timeline_of


def pauses(steps: Steps[Change]) -> int:
    """How often this work pauses."""
    return sum(1 for _ in steps)


@given(batches(size_max=14))
def test_in_any_order_of_arrival_a_timeline_says_what_replay_says(arrivals: list[list[Record]]) -> None:
    """Law: the same state and the same verdicts after each batch, and each change names exactly what has changed."""
    timeline, held, verdicts = Timeline(), list[Record](), dict[str, Verdict]()
    for batch in arrivals:
        change = finish(timeline.insert(batch))

        held += batch
        full = replay(held)
        assert (timeline.state, change.state) == (full.state, full.state)
        assert all(verdicts.get(name) is not verdict for name, verdict in change.verdicts.items())
        verdicts |= change.verdicts
        assert verdicts == full.verdicts


@given(histories(size_max=14))
def test_records_one_by_one_in_any_order_give_what_replay_gives(history: list[Record]) -> None:
    timeline = Timeline()

    for record in history:
        finish(timeline.insert([record]))

    assert timeline.state == replay(history).state
    assert (timeline.newest, len(timeline)) == (timeline.state.newest, len(history))


@given(histories(size_max=14), st.integers(0, 14))
def test_a_timeline_goes_on_from_verdicts_that_were_stored(history: list[Record], cut: int) -> None:
    timeline = timeline_of(history[:cut])

    finish(timeline.insert(history[cut:]))

    assert timeline.state == replay(history).state


@given(histories(size_max=14))
def test_newer_records_are_appended_without_a_replay(history: list[Record]) -> None:
    timeline, state = Timeline(), EMPTY
    for record in sorted(history, key=lambda it: it.order_key):
        state, verdict = state.extend(record)
        timeline.append(record, verdict)

    assert timeline.state == state


@given(st.data(), histories(size_max=9))
def test_a_timeline_tells_beforehand_whether_a_record_would_be_followed(
    data: st.DataObject, history: list[Record]
) -> None:
    """For records behind the head, as clients may bring them."""
    record = data.draw(records(history))
    before, after = replay(history), replay([*history, record])
    tip = before.state.tip
    if record in history or (tip is not None and record.order_key <= tip.order_key):
        return
    if not judge(tip, record, before.state.named.__contains__).is_accepted:
        return

    follower = timeline_of(history).follower_of(record)

    event("followed" if follower else "the head")
    assert (follower is not None) is (after.state.tip is not None and after.state.tip.id != record.id)


def long_label(length: int) -> list[Record]:
    return [claim("garden", at=10 * number) for number in range(1, length + 1)]


def test_a_late_record_after_which_all_stays_the_same_ends_the_replay_at_once() -> None:
    """Otherwise an owner could have each of two nodes replay a long label for each pair of records."""
    timeline = timeline_of(long_label(4 * STEP_RECORDS))

    assert pauses(timeline.insert([claim("garden", at=15)])) == 0


def test_a_late_record_that_changes_all_that_follows_pauses_after_some_records() -> None:
    founded = claim("garden", at=1)
    chain = [founded]
    for number in range(2, 4 * STEP_RECORDS + 2):
        chain.append(claim("garden", at=10 * number, prev=chain[-1]))
    timeline = timeline_of(chain)

    count = pauses(timeline.insert([claim("garden", at=15)]))

    assert count == 4
    assert timeline.state == replay([*chain, claim("garden", at=15)]).state


def test_many_late_records_are_put_in_their_places_in_steps() -> None:
    timeline = timeline_of(long_label(10))
    late = [claim("garden", at=10, n=number) for number in range(2 * STEP_RECORDS)]

    assert pauses(timeline.insert(late)) >= 2


def named_again(*, is_last: bool) -> Sequence[Record]:
    """Bob is named by an offer, and again by a later one, unless `is_last`."""
    offers = [offer("garden", by=ALICE, to=BOB, at=30), offer("garden", by=ALICE, to=BOB, at=50)]
    return [claim("garden", at=10), *offers[: 1 if is_last else 2], claim("garden", by=BOB, at=70)]


def test_a_key_that_a_late_record_keeps_from_being_named_is_a_rival_afterwards() -> None:
    """Carol takes the label before the offer, so that the offer is refused and Bob was never named."""
    history = named_again(is_last=True)
    late = [offer("garden", by=ALICE, to=CAROL, at=15), claim("garden", by=CAROL, at=20)]
    timeline = timeline_of(history)

    for record in late:
        finish(timeline.insert([record]))

    full = replay([*history, *late])
    assert timeline.state == full.state
    assert BOB.public not in timeline.state.named
    assert full.verdict(history[-1]) is Verdict.RIVAL


def test_a_key_that_is_named_later_than_before_is_no_rival_after_its_new_place() -> None:
    """A late record makes the first offer stale, so only the second one names Bob."""
    founded = claim("garden", at=10)
    history = [
        founded,
        offer("garden", by=ALICE, to=BOB, at=30, prev=founded),
        offer("garden", by=ALICE, to=BOB, at=50),
    ]
    history.append(claim("garden", at=60))
    timeline = timeline_of(history)
    late = [claim("garden", at=20), claim("garden", by=BOB, at=40), claim("garden", by=BOB, at=70)]

    for record in late:
        finish(timeline.insert([record]))

    full = replay([*history, *late])
    assert timeline.state == full.state
    assert [full.verdict(record) for record in late] == [Verdict.UPDATED, Verdict.RIVAL, Verdict.NOT_OWNER]


def test_the_bodies_of_records_are_not_kept() -> None:
    timeline = Timeline()
    record = claim("garden", at=2, text="x" * 60_000)

    change = finish(timeline.insert([record]))
    follower = timeline.follower_of(claim("garden", at=1))

    assert [told.record for told in change.events] == [record]
    assert follower is not None
    assert (follower.id, follower.canonical) == (record.id, b"")
