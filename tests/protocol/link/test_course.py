"""The tables of an open link: what they hold, and that every walk along them keeps to what their docstrings say."""

from collections import Counter
from collections.abc import Mapping
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.link.course import (
    DOMAIN_COURSE,
    PASSING,
    REPAIR_COURSE,
    Course,
    DomainAction,
    DomainEvent,
    DomainState,
    RepairAction,
    RepairEvent,
    RepairState,
)

DOMAIN = "example"

_S, _E, _A = DomainState, DomainEvent, DomainAction
_R, _F = RepairState, RepairEvent

FIRST_LIST = (_E.NEEDS_INBOUND, _E.NEEDS_OUTBOUND, _E.NEEDS_BOTH, _E.NEEDS_INBOUND_FIRST, _E.NEEDS_NO_PASS)
FROM_THE_PEER = (_E.SAME, _E.DIFFERENT, _E.SAID_SAME, _E.SAID_DIFFERENT, _E.RECEIVED, _E.SENT)
"""Events that a peer can bring about at any time, by its messages."""

LASTING = [state for state in DomainState if state is not _S.CHECKING]
"""States in which a message of the peer can find a domain."""

BUSY = [state for state in RepairState if state not in (_R.IDLE, _R.LISTING)]


def in_state(state: DomainState, domain: str = DOMAIN) -> Course:
    """A course whose domain is in that state, by the shortest way there."""
    ways: dict[DomainState, list[DomainEvent]] = {_S.UNKNOWN: []}
    reached = [_S.UNKNOWN]
    for each in reached:
        for event, (after, _) in DOMAIN_COURSE[each].items():
            if after not in ways:
                ways[after] = [*ways[each], event]
                reached.append(after)
    course = Course()
    for event in ways[state]:
        course.on_domain(domain, event)
    return course


# --- Every pair.


@pytest.mark.parametrize("state", DomainState)
@pytest.mark.parametrize("event", DomainEvent)
def test_every_pair_of_a_domain_is_in_the_table_or_fails_an_assertion(state: DomainState, event: DomainEvent) -> None:
    course = in_state(state)
    move = DOMAIN_COURSE[state].get(event)

    if move is None:
        with pytest.raises(AssertionError):
            course.on_domain(DOMAIN, event)
        assert course.domain(DOMAIN) is state
    else:
        assert (course.on_domain(DOMAIN, event), course.domain(DOMAIN)) == (move[1], move[0])


@pytest.mark.parametrize("state", RepairState)
@pytest.mark.parametrize("event", RepairEvent)
def test_every_pair_of_the_repairs_is_in_the_table_or_fails_an_assertion(
    state: RepairState, event: RepairEvent
) -> None:
    course = Course()
    course.repair = state
    move = REPAIR_COURSE[state].get(event)

    if move is None:
        with pytest.raises(AssertionError):
            course.on_repair(event)
        assert course.repair is state
    else:
        assert (course.on_repair(event), course.repair) == (move[1], move[0])


@pytest.mark.parametrize("state", LASTING)
@pytest.mark.parametrize("event", FROM_THE_PEER)
def test_no_message_of_a_peer_can_bring_a_domain_off_the_table(state: DomainState, event: DomainEvent) -> None:
    assert event in DOMAIN_COURSE[state]


@pytest.mark.parametrize("state", RepairState)
@pytest.mark.parametrize("event", [_F.ASKED, _F.LISTED_SAME, _F.LISTED_DIFFERENT])
def test_neither_a_list_nor_a_wish_to_compare_can_bring_the_repairs_off_the_table(
    state: RepairState, event: RepairEvent
) -> None:
    assert event in REPAIR_COURSE[state]


def reachable(start: Enum, table: Mapping[Enum, Mapping[Enum, tuple[Enum, Enum]]]) -> set[Enum]:
    reached = [start]
    for state in reached:
        reached += dict.fromkeys(after for after, _ in table[state].values() if after not in reached)
    return set(reached)


def test_every_state_event_and_action_has_a_use() -> None:
    tables = (
        (_S.UNKNOWN, DOMAIN_COURSE, DomainState, DomainEvent, DomainAction),
        (_R.CATCHING_UP, REPAIR_COURSE, RepairState, RepairEvent, RepairAction),
    )

    for start, table, states, events, actions in tables:
        moves = [(event, action) for row in table.values() for event, (_, action) in row.items()]
        assert reachable(start, table) == set(table) == set(states)  # type: ignore[arg-type]
        assert {event for event, _ in moves} == set(events)
        assert {action for _, action in moves} == set(actions)


# --- What the rows say.


@pytest.mark.parametrize("event", FIRST_LIST)
def test_only_the_first_list_begins_passes(event: DomainEvent) -> None:
    assert [state for state in DomainState if event in DOMAIN_COURSE[state]] == [_S.UNKNOWN]


@pytest.mark.parametrize("state", [state for state in DomainState if state in PASSING])
def test_a_peer_that_begins_no_pass_holds_a_domain_up_no_longer_than_it_may(state: DomainState) -> None:
    after, _ = DOMAIN_COURSE[state][_E.LAPSED]

    assert after is _S.CHECKING


@pytest.mark.parametrize("first", [_E.RECEIVED, _E.SENT])
def test_crossing_passes_may_end_in_either_order(first: DomainEvent) -> None:
    course = in_state(_S.CROSSING)
    second = _E.SENT if first is _E.RECEIVED else _E.RECEIVED

    actions = [course.on_domain(DOMAIN, event) for event in (first, second)]

    assert (actions, course.domain(DOMAIN)) == ([_A.NOTHING, _A.COMPARE], _S.CHECKING)


def test_a_pass_without_news_runs_after_the_peers_so_that_both_sides_know_whether_they_agree() -> None:
    course = in_state(_S.RECEIVING_FIRST)

    actions = [course.on_domain(DOMAIN, event) for event in (_E.RECEIVED, _E.SENT, _E.SAME)]

    assert actions == [_A.BEGIN_OUTBOUND, _A.COMPARE_AGREED, _A.SETTLE]


def test_a_pass_that_waits_is_not_begun_if_the_peer_does_not_keep_the_domain_or_has_asked_for_it() -> None:
    course = in_state(_S.RECEIVING_FIRST)

    actions = [course.on_domain(DOMAIN, event) for event in (_E.SENT, _E.RECEIVED)]

    assert actions == [_A.NOTHING, _A.COMPARE]


@pytest.mark.parametrize("state", BUSY)
def test_while_a_comparison_is_due_or_under_way_nothing_begins_another(state: RepairState) -> None:
    moves = [REPAIR_COURSE[state][event] for event in (_F.ASKED, _F.LISTED_SAME, _F.LISTED_DIFFERENT)]

    assert moves == [(state, RepairAction.NOTHING)] * len(moves)


def test_nothing_is_repaired_before_two_reconciliations_have_found_it() -> None:
    into_confirming = [
        state for state, row in REPAIR_COURSE.items() if (_R.CONFIRMING, RepairAction.CONFIRM) in row.values()
    ]

    assert into_confirming == [_R.SETTLING]


# --- Walks.

EVENTS = st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(DomainEvent))


@given(st.lists(EVENTS, max_size=60))
def test_any_walk_of_several_domains_keeps_count_of_the_passes_that_are_due(
    events: list[tuple[str, DomainEvent]],
) -> None:
    course = Course()

    for domain, event in events:
        if event in DOMAIN_COURSE[course.domain(domain)]:
            course.on_domain(domain, event)

    passing = {domain for domain in "abc" if course.domain(domain) in PASSING}
    assert (set(course.passing), course.is_passing) == (passing, bool(passing))


@given(st.lists(st.sampled_from(DomainEvent), max_size=60))
def test_any_walk_ends_each_begun_reconciliation_before_the_next(events: list[DomainEvent]) -> None:
    course = Course()
    counts: Counter[str] = Counter()

    for event in events:
        if event in DOMAIN_COURSE[course.domain(DOMAIN)]:
            counts["begun"] += course.on_domain(DOMAIN, event) in (_A.RECONCILE, _A.REPAIR)
            counts["ended"] += event in (_E.RECONCILED, _E.NOT_RECONCILED)
        under_way = counts["begun"] - counts["ended"]
        assert under_way == (course.domain(DOMAIN) is _S.RECONCILING)


@given(st.lists(st.sampled_from(RepairEvent), max_size=60))
def test_any_walk_of_the_repairs_sends_a_list_only_after_the_answer_to_the_last_one(events: list[RepairEvent]) -> None:
    course = Course()
    is_listed = False

    for event in events:
        if event not in REPAIR_COURSE[course.repair]:
            continue
        if is_listed and event in (_F.LISTED_SAME, _F.LISTED_DIFFERENT):
            is_listed = False
        if course.on_repair(event) is RepairAction.LIST:
            assert not is_listed
            is_listed = True
        assert is_listed == (course.repair is _R.LISTING)


# --- What is reported, and what is forgotten.


def test_reports_come_in_their_order_also_those_made_meanwhile() -> None:
    course = Course()
    course.report("a", _E.SENT)
    course.report("b", _E.SENT)
    handled = []

    for domain, event in course.reports():
        handled.append((domain, event))
        if (domain, event) == ("a", _E.SENT):
            course.report("a", _E.RECONCILED)

    assert handled == [("a", _E.SENT), ("b", _E.SENT), ("a", _E.RECONCILED)]
    assert list(course.reports()) == []


@pytest.mark.parametrize("state", LASTING)
def test_a_domain_that_nobody_lists_any_more_is_forgotten_once_nothing_of_it_is_due(state: DomainState) -> None:
    course = in_state(state)

    course.forget_all_but({"another"})

    is_due = state in PASSING or state is _S.RECONCILING
    assert course.domain(DOMAIN) is (state if is_due else _S.UNKNOWN)


def test_a_domain_that_somebody_lists_keeps_its_state() -> None:
    course = in_state(_S.SAME)

    course.forget_all_but({DOMAIN})

    assert course.domain(DOMAIN) is _S.SAME
