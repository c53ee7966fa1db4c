"""Events let watchers follow the head of every label, in whatever order records arrive."""

from hypothesis import event, given
from hypothesis import strategies as st

from protocol.records.change import Change, Event, EventType, append, is_appended
from protocol.records.record import Record
from protocol.records.replay import EMPTY, REASONS, State, Verdict, replay
from protocol.steps import finish
from tests.history import ALICE, BOB, CAROL, batches, claim, histories, offer
from tests.protocol.records.timelines import timeline_of

FOUNDED = claim("garden", by=ALICE, at=10)
UPDATED = claim("garden", by=ALICE, at=20)


def insert(held: list[Record], batch: list[Record]) -> Change:
    """Add records with any timestamps to these."""
    return finish(timeline_of(held).insert(batch))


def take(state: State, held: list[Record], batch: list[Record]) -> Change:
    """Add a batch of records of one label, as ingest does."""
    batch = sorted(batch, key=lambda record: record.order_key)
    if is_appended(state, batch):
        return append(state, batch)
    return insert(held, batch)


@given(batches())
def test_all_changes_together_equal_one_replay(arrivals: list[list[Record]]) -> None:
    state, held, verdicts = EMPTY, list[Record](), dict[str, Verdict]()
    for batch in arrivals:
        change = take(state, held, batch)

        assert all(verdicts.get(name) is not verdict for name, verdict in change.verdicts.items())
        state, held, verdicts = change.state, [*held, *batch], verdicts | change.verdicts
        assert state == replay(held).state
        assert verdicts == replay(held).verdicts


@given(batches())
def test_events_lead_a_watcher_from_head_to_head(arrivals: list[list[Record]]) -> None:
    """Each `accepted` follows the head before it, each `reverted` names it, and the last event names the new head."""
    state, held, head = EMPTY, list[Record](), None
    for batch in arrivals:
        change = take(state, held, batch)
        state, held = change.state, [*held, *batch]
        judged = {judged.record.id: judged for judged in replay(held).judged}

        for told in change.events:
            event(told.type)
            if told.type is EventType.ACCEPTED:
                assert judged[told.record.id].tip == head
                assert (told.previous, told.reason) == (None, None)
            else:
                assert told.previous == head
                assert told.reason is not None
            head = told.record.id

        assert head == (state.tip.id if state.tip else None)


@given(batches())
def test_no_event_is_told_if_the_head_stays(arrivals: list[list[Record]]) -> None:
    state, held = EMPTY, list[Record]()
    for batch in arrivals:
        change = take(state, held, batch)

        assert (change.events == []) is (change.state.tip == state.tip)
        state, held = change.state, [*held, *batch]


@given(histories(), st.integers(0, 9))
def test_appending_newer_records_is_the_same_change_as_replaying_their_label(history: list[Record], cut: int) -> None:
    history.sort(key=lambda record: record.order_key)
    held, newer = history[:cut], history[cut:]
    before = replay(held)

    assert is_appended(before.state, newer)
    assert append(before.state, newer) == insert(held, newer)


def test_records_are_appended_only_if_each_is_newer_than_all_before_it() -> None:
    newest = claim("garden", by=CAROL, at=30)
    state = replay([FOUNDED, newest]).state
    one, other = claim("garden", at=31), claim("garden", at=32)

    assert is_appended(state, [])
    assert is_appended(state, [one, other])
    assert not is_appended(state, [other, one])
    assert not is_appended(state, [one, one])
    assert not is_appended(state, [UPDATED])
    assert not is_appended(state, [newest])


def test_a_batch_of_followers_gives_one_event_each() -> None:
    change = append(EMPTY, [FOUNDED, UPDATED])

    assert change.events == [Event(EventType.ACCEPTED, FOUNDED), Event(EventType.ACCEPTED, UPDATED)]
    assert change.verdicts == {FOUNDED.id: Verdict.FOUNDED, UPDATED.id: Verdict.UPDATED}


def test_an_older_founder_reverts_the_head_and_says_why() -> None:
    older = claim("garden", by=BOB, at=9)
    change = insert([FOUNDED], [older])

    reason = f"an older record arrived late, and the head before is now rival: {REASONS[Verdict.RIVAL]}"
    assert change.events == [Event(EventType.REVERTED, older, previous=FOUNDED.id, reason=reason)]
    assert change.verdicts == {older.id: Verdict.FOUNDED, FOUNDED.id: Verdict.RIVAL}
    assert change.state == replay([FOUNDED, older]).state


def test_a_late_record_that_makes_the_head_stale_reverts_it() -> None:
    head = claim("garden", by=ALICE, at=30, prev=FOUNDED)

    change = insert([FOUNDED, head], [UPDATED])

    assert [(told.type, told.record, told.previous) for told in change.events] == [
        (EventType.REVERTED, UPDATED, head.id)
    ]
    assert change.verdicts == {UPDATED.id: Verdict.UPDATED, head.id: Verdict.STALE}


def test_a_late_record_that_leaves_the_head_gives_no_event() -> None:
    head = claim("garden", by=ALICE, at=30)

    change = insert([FOUNDED, head], [UPDATED])

    assert (change.events, change.verdicts) == ([], {UPDATED.id: Verdict.UPDATED})


def test_a_late_offer_lets_a_refused_record_follow_and_each_gives_an_event() -> None:
    rival = claim("garden", by=BOB, at=30)
    late = offer("garden", by=ALICE, to=BOB, at=20)

    change = insert([FOUNDED, rival], [late])

    assert [(told.type, told.record.id) for told in change.events] == [
        (EventType.ACCEPTED, late.id),
        (EventType.ACCEPTED, rival.id),
    ]
    assert change.verdicts == {late.id: Verdict.OFFERED, rival.id: Verdict.TRANSFERRED}
    assert (change.state.owner, change.state.contested) == (BOB.public, False)


def test_a_refused_record_gives_no_event() -> None:
    rival = claim("garden", by=CAROL, at=30)

    change = append(replay([FOUNDED]).state, [rival])

    assert (change.events, change.verdicts) == ([], {rival.id: Verdict.RIVAL})
    assert change.state.contested
