"""Admission: a client extends what this node knows, near the present; a peer brings every valid record."""

import msgspec
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from protocol.errors import Code, ProtocolError
from protocol.records.admission import (
    ANY_HEAD,
    NAMED_MAX,
    NEEDS_NO_HEAD,
    Precondition,
    Trust,
    Window,
    check_domain,
    check_extends,
    check_is_head,
    check_not_reserved,
    check_precondition,
    check_time,
    head_facts,
)
from protocol.records.record import Record
from protocol.records.replay import EMPTY, State, replay
from tests.history import ALICE, BOB, CAROL, NOWHERE, claim, histories, offer, records

FOUNDED = claim("garden", by=ALICE, at=10)
OFFERED = offer("garden", by=ALICE, to=BOB, at=20)
STATE = replay([FOUNDED, OFFERED]).state
HEAD = {"id": OFFERED.id, "timestamp": 20, "owner": ALICE.public, "newowner": BOB.public}
NOW_S = 1_000


def test_a_label_that_starts_with_an_at_sign_is_refused_as_reserved() -> None:
    with pytest.raises(ProtocolError) as caught:
        check_not_reserved(claim("@garden"))

    assert (caught.value.code, caught.value.facts) == (Code.MALFORMED, {"reserved": True})
    check_not_reserved(claim("garden@"))


@pytest.mark.parametrize(
    ("domain", "supported", "is_full", "is_kept"),
    [
        ("held", None, False, True),
        ("new", None, False, True),
        ("held", None, True, True),
        ("new", None, True, False),
        ("listed", ["listed"], False, True),
        ("listed", ["listed"], True, True),
        ("held", ["listed"], False, False),
        ("new", [], False, False),
    ],
)
def test_a_domain_is_kept_if_it_is_listed_or_held_or_has_room(
    domain: str, supported: list[str] | None, is_full: bool, is_kept: bool
) -> None:
    """Listed domains need no room. A node that lists no domain keeps the domains that it holds when it is full."""
    if is_kept:
        check_domain(domain, supported, {"held"}, is_full=is_full)
        return

    with pytest.raises(ProtocolError) as caught:
        check_domain(domain, supported, {"held"}, is_full=is_full)

    assert caught.value.code is Code.UNKNOWN_DOMAIN


@pytest.mark.parametrize(
    ("timestamp", "trust", "window", "code"),
    [
        (NOW_S - 300, Trust.CLIENT, Window(), None),
        (NOW_S - 301, Trust.CLIENT, Window(), Code.TOO_OLD),
        (NOW_S - 301, Trust.PEER, Window(), None),
        (1, Trust.PEER, Window(), None),
        (1, Trust.CLIENT, Window(max_age_s=None), None),
        (NOW_S + 300, Trust.CLIENT, Window(), None),
        (NOW_S + 301, Trust.CLIENT, Window(), Code.TOO_NEW),
        (NOW_S + 300, Trust.PEER, Window(), None),
        (NOW_S + 301, Trust.PEER, Window(), Code.TOO_NEW),
        (NOW_S + 10**6, Trust.CLIENT, Window(max_skew_s=None), None),
        (NOW_S, Trust.CLIENT, Window(0, 0), None),
        (NOW_S - 1, Trust.CLIENT, Window(0, 0), Code.TOO_OLD),
        (NOW_S + 1, Trust.CLIENT, Window(0, 0), Code.TOO_NEW),
    ],
)
def test_a_client_stays_near_the_present_and_nobody_is_far_ahead_of_it(
    timestamp: int, trust: Trust, window: Window, code: Code | None
) -> None:
    record = claim("garden", at=timestamp)

    if code is None:
        check_time(record, trust, window, NOW_S + 0.99)
        return

    with pytest.raises(ProtocolError) as caught:
        check_time(record, trust, window, NOW_S + 0.99)
    assert (caught.value.code, caught.value.facts) == (code, {"now": NOW_S})


ANY = frozenset({ANY_HEAD})
NO_DEMAND = None
PRECONDITIONS = {
    "nothing, of a head": (STATE, NO_DEMAND, True),
    "nothing, of no head": (EMPTY, NO_DEMAND, True),
    "this head": (STATE, Precondition(frozenset({OFFERED.id})), True),
    "one of several heads": (STATE, Precondition(frozenset({NOWHERE, OFFERED.id})), True),
    "any head": (STATE, Precondition(ANY), True),
    "an earlier head": (STATE, Precondition(frozenset({FOUNDED.id})), False),
    "a head that nobody knows": (EMPTY, Precondition(frozenset({NOWHERE})), False),
    "no head that could ever be": (STATE, Precondition(frozenset()), False),
    "any head, of no head": (EMPTY, Precondition(ANY), False),
    "no head": (EMPTY, NEEDS_NO_HEAD, True),
    "no head, of a head": (STATE, NEEDS_NO_HEAD, False),
    "another head than this": (STATE, Precondition(none_match=frozenset({OFFERED.id})), False),
    "another head than an earlier one": (STATE, Precondition(none_match=frozenset({FOUNDED.id})), True),
    "this head and no other": (STATE, Precondition(ANY, frozenset({FOUNDED.id})), True),
    "a head and no head": (STATE, Precondition(ANY, ANY), False),
}


@pytest.mark.parametrize(("state", "precondition", "is_met"), PRECONDITIONS.values(), ids=PRECONDITIONS.keys())
def test_a_precondition_names_heads_that_must_be_or_must_not_be(
    state: State, precondition: Precondition | None, is_met: bool
) -> None:
    if is_met:
        check_precondition(state, precondition)
        return

    with pytest.raises(ProtocolError) as caught:
        check_precondition(state, precondition)

    assert caught.value.code is Code.PRECONDITION_FAILED
    assert caught.value.facts == {"head": HEAD if state is STATE else None}


EXTENSIONS: dict[str, tuple[list[Record], Record, Code | None]] = {
    "a founding": ([], claim("garden", at=10), None),
    "a first record with a `prev`": ([], claim("garden", at=10, prev=NOWHERE), Code.STALE),
    "the owner": ([FOUNDED, OFFERED], claim("garden", at=21), None),
    "the owner, with the head as `prev`": ([FOUNDED, OFFERED], claim("garden", at=21, prev=OFFERED), None),
    "the owner, with another `prev`": ([FOUNDED, OFFERED], claim("garden", at=21, prev=FOUNDED), Code.STALE),
    "the owner, before the head": ([FOUNDED, OFFERED], claim("garden", at=19), Code.STALE),
    "an older founding by the owner": ([FOUNDED, OFFERED], claim("garden", at=9), Code.STALE),
    "an older founding by another": ([FOUNDED], claim("garden", by=CAROL, at=9), Code.NOT_OWNER),
    "the key that the label was offered to": ([FOUNDED, OFFERED], claim("garden", by=BOB, at=21), None),
    "the key that the label was offered to, before the head": (
        [FOUNDED, OFFERED],
        claim("garden", by=BOB, at=19),
        Code.STALE,
    ),
    "a rival": ([FOUNDED, OFFERED], claim("garden", by=CAROL, at=21), Code.NOT_OWNER),
    "a stranger, with another `prev`": ([FOUNDED, OFFERED], claim("garden", CAROL, at=9, prev=NOWHERE), Code.NOT_OWNER),
    "a founding of a label that has only an orphan": (
        [claim("garden", at=20, prev=NOWHERE)],
        claim("garden", at=10),
        None,
    ),
    "the owner, before a newer rival": ([FOUNDED, claim("garden", CAROL, at=30)], claim("garden", at=20), None),
}


@pytest.mark.parametrize(("history", "record", "code"), EXTENSIONS.values(), ids=EXTENSIONS)
def test_a_client_only_extends_the_label_as_this_node_knows_it(
    history: list[Record], record: Record, code: Code | None
) -> None:
    state = replay(history).state

    if code is None:
        check_extends(record, state)
        return

    with pytest.raises(ProtocolError) as caught:
        check_extends(record, state)
    assert (caught.value.code, caught.value.facts) == (code, {"head": head_facts(state)})


def test_a_client_gives_a_label_so_many_keys_to_remember_and_not_one_more() -> None:
    """Replay remembers every key that a label ever named, so an owner could make that memory grow for ever."""
    others = {f"{number:064x}" for number in range(NAMED_MAX - 1)}
    known, unknown = min(others), "f" * 64

    def state(named: set[str]) -> State:
        return msgspec.structs.replace(replay([FOUNDED]).state, named=frozenset({ALICE.public, *named}))

    check_extends(claim("garden", at=20, newowner=unknown), state(others - {known}))
    check_extends(claim("garden", at=20, newowner=known), state(others))
    check_extends(claim("garden", at=20), state(others))
    with pytest.raises(ProtocolError, match="offer it to one of those") as caught:
        check_extends(claim("garden", at=20, newowner=unknown), state(others))
    assert caught.value.code is Code.STALE


def test_in_the_second_of_the_head_only_a_higher_id_extends() -> None:
    low, middle, high = sorted((claim("garden", at=20, n=n) for n in range(3)), key=lambda record: record.id)
    state = replay([FOUNDED, middle]).state

    check_extends(high, state)
    with pytest.raises(ProtocolError, match="at least 21"):
        check_extends(low, state)
    with pytest.raises(ProtocolError, match="at least 21"):
        check_extends(middle, state)


def test_a_client_is_refused_where_a_stored_record_would_follow_its_own_at_once() -> None:
    """Alice's clock is behind. She offers the label to Bob, and his rival claim, which a peer brought, would take the
    label.
    """
    history = [FOUNDED, claim("garden", by=BOB, at=30)]
    late = offer("garden", by=ALICE, to=BOB, at=20)
    before, after = replay(history).state, replay([*history, late]).state
    check_extends(late, before)

    with pytest.raises(ProtocolError, match="at least 31") as caught:
        check_is_head(before, is_followed=is_followed(late, after))

    assert (caught.value.code, caught.value.facts) == (Code.STALE, {"head": head_facts(before)})


def test_a_founding_may_be_followed_at_once_by_what_came_before_it() -> None:
    founding = claim("garden", at=10)
    orphan = claim("garden", at=20, prev=founding)

    after = replay([orphan, founding]).state

    check_is_head(replay([orphan]).state, is_followed=is_followed(founding, after))


def is_followed(record: Record, after: State) -> bool:
    """Whether another record follows this one, by the state after both."""
    return after.tip is not None and after.tip.id != record.id


def is_admitted(record: Record, before: State, after: State) -> bool:
    """Whether ingest would accept this record from a client, after a replay."""
    try:
        check_extends(record, before)
        check_is_head(before, is_followed=is_followed(record, after))
    except ProtocolError:
        return False
    return True


@given(st.data(), histories())
def test_a_client_never_changes_anything_up_to_the_head(data: st.DataObject, history: list[Record]) -> None:
    record = data.draw(records(history))
    assume(record not in history)
    before, after = replay(history), replay([*history, record])
    length = len(before.chain)

    if not is_admitted(record, before.state, after.state):
        event("refused: nothing is stored")
        return

    event("extends" if before.chain else "founds")
    assert after.chain[:length] == before.chain
    assert after.chain[length] == record
    assert before.chain == [] or len(after.chain) == length + 1


@given(st.data(), histories())
def test_a_client_may_do_all_that_the_contract_allows(data: st.DataObject, history: list[Record]) -> None:
    """docs/protocol.md, section 3: without a head, replay accepts it; with a head, it is newer and becomes the head."""
    record = data.draw(records(history))
    assume(record not in history)
    before, after = replay(history), replay([*history, record])

    if before.state.tip is None:
        is_allowed = after.verdict(record).is_accepted
    else:
        is_allowed = record.order_key > before.state.tip.order_key and after.chain[-1] == record

    assert is_admitted(record, before.state, after.state) is is_allowed
