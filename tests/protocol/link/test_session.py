"""Two nodes on a pretend wire come to hold the same records, whatever they held before, and whatever is written
meanwhile.
"""

from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.limits import SAFE_INTEGER_MAX
from protocol.link.messages import (
    DOMAINS_PAGE_MAX,
    RECORDS_MAX,
    Ack,
    CaughtUp,
    Domains,
    Message,
    Reconcile,
    Records,
    Since,
    Summary,
    Want,
)
from protocol.link.orders import Load
from protocol.link.status import LinkState, Step
from protocol.link.terms import Flow, LinkLimits, Terms
from tests.history import claim, signed
from tests.protocol.link.wire import Wire
from tests.protocol.link.wire_records import (
    BOTH,
    HUNDRED,
    NEITHER,
    NEWER,
    PULLING,
    count_sent,
    ids,
    record,
    records,
    said,
    signatures_sent,
)

NARROW = LinkLimits(
    in_flight_frames_max=4,
    in_flight_records_max=30,
    queued_max=8,
    asked_domains_max=1,
    takes_max=3,
    recent_ids_max=40,
    asked_ids_max=1_000,
)
"""Limits so small that a few hundred records reach all of them."""

POOL = [signed(claim(f"label-{n}", at=1 + n // 3, domain=("a", "b.c", "d")[n % 3])) for n in range(400)]

REPAIRED_S = 40
"""Seconds within which a link has repaired what catch-up and live records left out."""

NOWHERE = "00" * 32
"""The id of no record."""


class Rows(NamedTuple):
    """What each side's row for the other says."""

    dialler_pushes: bool
    dialler_pulls: bool
    acceptor_pushes: bool
    acceptor_pulls: bool

    @property
    def to_acceptor(self) -> bool:
        return self.dialler_pushes or self.acceptor_pulls

    @property
    def to_dialler(self) -> bool:
        return self.acceptor_pushes or self.dialler_pulls


class Start(NamedTuple):
    """What a link begins with: how many records there are, which share of them each side holds, and its cursors."""

    old_count: int
    shares: tuple[float, float]
    rows: Rows
    has_cursors: bool


BREAK_SHARE = 0.03
"""How often the link breaks after a record is written, where it breaks at all."""


# --- The law.


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    start=st.builds(
        Start,
        old_count=st.sampled_from([0, 3, 30, 200]),
        shares=st.tuples(*[st.sampled_from([0.0, 0.1, 0.5, 1.0])] * 2),
        rows=st.builds(Rows, *[st.booleans()] * 4),
        has_cursors=st.booleans(),
    ),
    live_count=st.sampled_from([0, 5, 40]),
    limits=st.sampled_from([LinkLimits(), NARROW]),
    breaks=st.booleans(),
)
def test_a_link_ends_with_equal_sets_in_every_wanted_direction(
    seed: int, start: Start, live_count: int, limits: LinkLimits, breaks: bool
) -> None:
    """Whatever each side held and whatever its cursors claim, with records written meanwhile and links that break."""
    random, rows = Random(seed), start.rows
    pool = random.sample(POOL, start.old_count + live_count)
    old, live = pool[: start.old_count], pool[start.old_count :]
    held = [[it for it in old if random.random() < share] for share in start.shares]
    terms = [
        Terms(push=push, pull=pull, cursors=any_cursors(random) if start.has_cursors else {})
        for push, pull in ((rows.dialler_pushes, rows.dialler_pulls), (rows.acceptor_pushes, rows.acceptor_pulls))
    ]
    wire = Wire(held[0], held[1], (terms[0], terms[1]), limits, random)

    for it in live:
        for _ in range(random.choice([0, 1, 10])):
            wire.step()
        random.choice(wire.ends).write(it, wire.now)
        if breaks and random.random() < BREAK_SHARE:
            wire.connect()
    wire.run()
    wire.run_for(REPAIRED_S)

    assert wire.codes == (None, None)
    if rows.to_acceptor:
        assert wire.dialler.ids <= wire.acceptor.ids
    if rows.to_dialler:
        assert wire.acceptor.ids <= wire.dialler.ids
    for end in wire.ends:
        status = end.link.status()
        assert (status.state, status.in_flight_frames, status.queued) == (LinkState.LIVE, 0, 0)


def any_cursors(random: Random) -> dict[tuple[str, Flow], int]:
    return {(domain, flow): random.randrange(150) for domain in ("a", "b.c") for flow in Flow}


# --- Catch-up by time.


def test_a_puller_asks_from_its_cursor_on_and_is_sent_newer_records_oldest_first() -> None:
    cursor = {("example", Flow.PULL): 61}
    wire = Wire(HUNDRED[:60], HUNDRED, (Terms(pull=True, cursors=cursor), Terms()))

    wire.run()

    assert said(wire.dialler, Since) == [Since("example", 61)]
    assert signatures_sent(wire.acceptor) == [it.signature for it in HUNDRED[60:]]
    assert wire.dialler.ids == wire.acceptor.ids
    assert said(wire.dialler, Reconcile) == []


def test_a_node_that_was_away_for_a_moment_sends_nothing_twice_and_both_sides_know_that_they_agree() -> None:
    """The records of the last second are not sent both ways, and no second list is needed."""
    cursors = {("example", Flow.PULL): 61, ("example", Flow.PUSH): 61}
    wire = Wire(HUNDRED[:61], HUNDRED, (Terms(push=True, pull=True, cursors=cursors), Terms()))

    wire.run()

    assert count_sent(wire.dialler) == 0
    assert wire.dialler.ids == wire.acceptor.ids
    assert [len(said(end, Domains)) for end in wire.ends] == [1, 1]
    assert [end.link.status().domains["example"].step for end in wire.ends] == [Step.IDENTICAL, Step.IDENTICAL]


def test_a_record_that_was_being_committed_as_the_link_opened_is_found_soon() -> None:
    """The record is on neither list, and it was decided too early to be pushed."""
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(settle_s=10))
    late = record(at=50, note="late")
    wire.step_until(lambda: said(wire.dialler, Domains))
    wire.step_until(lambda: wire.dialler.link.state is LinkState.LIVE)
    wire.dialler.commit(late)

    wire.run_for(30)

    assert late.record.id in wire.acceptor.ids


def test_a_pusher_begins_the_pass_at_its_own_cursor_if_the_peer_does_not_pull() -> None:
    cursor = {("example", Flow.PUSH): 61}
    wire = Wire(HUNDRED, HUNDRED[:60], (Terms(push=True, cursors=cursor), Terms()))

    wire.run()

    assert signatures_sent(wire.dialler) == [it.signature for it in HUNDRED[60:]]
    assert said(wire.acceptor, Since) == []
    assert wire.dialler.ids == wire.acceptor.ids


def test_an_acceptor_with_a_row_for_the_dialler_pushes_and_pulls_too() -> None:
    wire = Wire(HUNDRED[:30], HUNDRED[70:], (Terms(), Terms(push=True, pull=True)))

    wire.run()

    assert wire.dialler.ids == wire.acceptor.ids == ids(HUNDRED[:30] + HUNDRED[70:])


def test_equal_domains_need_no_pass() -> None:
    wire = Wire(HUNDRED, HUNDRED, BOTH)

    wire.run()

    assert [said(end, kind) for end in wire.ends for kind in (Since, Records, Reconcile)] == [[]] * 6


def test_cursors_alone_leave_late_records_behind_and_reconciliation_finds_them() -> None:
    """A record that arrives with a timestamp below the cursor is never asked for again by time."""
    late = records(5, begin=10, note="late")
    cursors = {("example", Flow.PULL): 100, ("example", Flow.PUSH): 100}
    wire = Wire(HUNDRED, [*HUNDRED, *late], (Terms(push=True, pull=True, cursors=cursors), Terms()))

    wire.step_until(lambda: said(wire.dialler, Reconcile))
    missing_after_passes = wire.acceptor.ids - wire.dialler.ids
    passes_ended = said(wire.acceptor, CaughtUp)
    wire.run()

    assert passes_ended
    assert missing_after_passes == ids(late)
    assert wire.acceptor.ids == wire.dialler.ids
    assert count_sent(wire.acceptor) <= len(late) + 1, "the late records, and those of the last second"


def test_a_receiver_without_a_cursor_that_holds_most_records_skips_the_pass() -> None:
    """The pass would send a hundred records to deliver one."""
    wire = Wire(HUNDRED[1:], HUNDRED, PULLING, LinkLimits(short_pass_records=len(HUNDRED) - 1))

    wire.run()

    assert wire.dialler.ids == wire.acceptor.ids
    assert count_sent(wire.acceptor) == 1


def test_a_short_pass_is_never_skipped() -> None:
    wire = Wire(HUNDRED[1:], HUNDRED, PULLING, LinkLimits(short_pass_records=len(HUNDRED)))

    wire.run()

    assert wire.dialler.ids == wire.acceptor.ids
    assert count_sent(wire.acceptor) == len(HUNDRED)


def test_a_skipped_pass_moves_no_cursor_before_the_reconciliation_has_found_the_rest() -> None:
    wire = Wire(HUNDRED[1:], HUNDRED, PULLING, LinkLimits(short_pass_records=len(HUNDRED) - 1))

    wire.step_until(lambda: said(wire.dialler, Reconcile))

    assert wire.dialler.cursors == {}


def test_catch_up_continues_where_a_broken_link_left_off() -> None:
    limits, count, copies_max = LinkLimits(), 3_000, 300
    wire = Wire([], records(count), PULLING, limits)
    wire.step_until(lambda: len(wire.dialler.held) >= count // 2)

    wire.connect()
    wire.run()

    assert wire.dialler.ids == wire.acceptor.ids
    assert count_sent(wire.acceptor) < count + limits.in_flight_records_max + RECORDS_MAX
    assert wire.dialler.copies <= copies_max


def test_a_node_asks_only_for_domains_that_it_keeps() -> None:
    wire = Wire([], [*records(3, "kept"), *records(3, "other")], (Terms(pull=True, kept=frozenset(["kept"])), Terms()))

    wire.run()
    wire.run_for(REPAIRED_S)

    assert said(wire.dialler, Since) == [Since("kept", 0)]
    assert {it.record.domain for it in wire.dialler.held.values()} == {"kept"}


def test_many_domains_are_listed_in_pages_and_asked_for_a_few_at_a_time() -> None:
    held = [signed(claim("garden", domain=f"d{number}")) for number in range(DOMAINS_PAGE_MAX + 1)]
    asked_max = 2
    wire = Wire([], held, PULLING, LinkLimits(asked_domains_max=asked_max))
    asked_at_once = 0

    while wire.step():
        asked = len(said(wire.dialler, Since)) - len(said(wire.acceptor, CaughtUp))
        asked_at_once = max(asked, asked_at_once)

    assert [len(page.domains) for page in said(wire.acceptor, Domains)[:2]] == [DOMAINS_PAGE_MAX, 1]
    assert wire.dialler.ids == wire.acceptor.ids
    assert asked_at_once == asked_max


DOMAINS_MAX = 3


@pytest.mark.parametrize(("listed", "code"), [(DOMAINS_MAX, None), (DOMAINS_MAX + 1, "too_large")])
def test_a_peer_may_list_domains_up_to_the_limit_and_not_one_more(listed: int, code: str | None) -> None:
    held = [signed(claim("garden", domain=f"d{number}")) for number in range(listed)]
    wire = Wire([], held, NEITHER, (LinkLimits(domains_max=DOMAINS_MAX), LinkLimits()))

    wire.run()

    assert wire.codes == (code, code)


@pytest.mark.parametrize("domain", ["example", "unknown.domain", "xn"])
@pytest.mark.parametrize("timestamp", [0, 50, SAFE_INTEGER_MAX])
def test_every_legal_since_is_answered(domain: str, timestamp: int) -> None:
    wire = Wire(HUNDRED, HUNDRED, NEITHER)
    wire.run()
    wire.run_for(5)
    wire.acceptor.reads = False

    wire.hear(wire.dialler, Since(domain, timestamp))
    wire.run()

    expected = [it.signature for it in HUNDRED if it.record.timestamp >= timestamp and it.record.domain == domain]
    assert signatures_sent(wire.dialler) == expected
    assert isinstance(wire.dialler.said[-1], CaughtUp)


def test_a_flood_of_since_for_domains_that_do_not_exist_is_answered_and_not_queued() -> None:
    flood = 1_000
    wire = Wire(HUNDRED, [], NEITHER)
    wire.run()
    answered = len(said(wire.dialler, CaughtUp))

    for number in range(flood):
        wire.say(wire.acceptor, Since(f"d{number}", 1))
    wire.run()

    assert len(said(wire.dialler, CaughtUp)) == answered + flood
    assert len(wire.dialler.link._session.sender._queues.passes) == 0  # type: ignore[union-attr]


# --- Live records.


def test_a_live_record_is_sent_in_the_call_that_brought_it() -> None:
    wire = Wire(HUNDRED, HUNDRED, BOTH)
    wire.run()
    sent = count_sent(wire.dialler)

    wire.dialler.write(record(at=NEWER), wire.now)

    assert count_sent(wire.dialler) == sent + 1
    assert wire.dialler.loads == []


def test_a_live_record_for_which_the_node_has_no_memory_waits_as_an_id_and_is_loaded_later() -> None:
    wire = Wire()
    wire.run()
    record = signed(claim("garden"))
    wire.dialler.commit(record)

    orders = wire.dialler.link.push([record], 1, wire.now, is_held=True)
    wire.dialler.carry_out(orders, wire.now)
    wire.run()

    assert [type(order) for order in orders] == [Load]
    assert wire.acceptor.ids == {record.record.id}


def test_a_live_record_overtakes_a_catch_up() -> None:
    """A catch-up leaves a part of the window to live records."""
    wire = Wire([], records(5_000), PULLING)
    wire.step_until(lambda: said(wire.dialler, Since))
    wire.dialler.reads = False
    wire.run()
    live = record(at=9_000)

    wire.acceptor.write(live, wire.now)

    assert signatures_sent(wire.acceptor)[-1] == live.signature
    assert len(said(wire.acceptor, Records)[-1].records) == 1


def test_a_record_never_goes_back_over_the_link_that_it_came_from() -> None:
    wire = Wire([], HUNDRED, BOTH)
    wire.run()

    wire.push(wire.dialler, HUNDRED, hops=2)
    wire.hear(wire.dialler, Since("example", 0))
    wire.run()

    assert count_sent(wire.dialler) == 0


def test_live_records_move_the_cursors_once_the_passes_are_over() -> None:
    wire = Wire(HUNDRED, HUNDRED, BOTH)
    wire.run()

    pushed_at, pulled_at = NEWER, NEWER + 200
    wire.dialler.write(record(at=pushed_at), wire.now)
    wire.run()
    wire.acceptor.write(record(at=pulled_at), wire.now)
    wire.run()

    assert wire.dialler.cursors == {("example", Flow.PUSH): pushed_at, ("example", Flow.PULL): pulled_at}


def test_a_wanted_record_is_given_with_its_hops() -> None:
    wire = Wire(HUNDRED, [], NEITHER)
    wire.run()
    wanted = HUNDRED[3]
    wire.say(wire.acceptor, Want((wanted.record.id, NOWHERE), eager=True))

    wire.run()

    (frame,) = said(wire.dialler, Records)
    assert (frame.hops, len(frame.records), frame.domain) == (1, 1, None)
    assert wanted.record.id in wire.acceptor.ids


def test_an_ack_waits_for_the_commit_of_every_earlier_frame() -> None:
    wire = Wire([], records(1_000), PULLING)
    while len(wire.dialler.takes) < 4:
        next(wire.moves(takes=False))()
    first, *rest = wire.dialler.takes

    for take in rest:
        wire.dialler.finish_take(take, wire.now)
    acks_before_the_first_commit = said(wire.dialler, Ack)
    wire.dialler.finish_take(first, wire.now)

    assert acks_before_the_first_commit == []
    assert said(wire.dialler, Ack) == [Ack(rest[-1].seq)]


# --- What an operator sees.


def test_a_status_shows_how_far_each_domain_has_come() -> None:
    count = 1_000
    wire = Wire([], records(count), PULLING)
    wire.step_until(lambda: len(wire.dialler.held) >= count // 2)
    status = wire.dialler.link.status()
    domain = status.domains["example"]

    wire.run()
    wire.run_for(1)
    steps = [end.link.status().domains["example"].step for end in wire.ends]

    assert status.state is LinkState.CATCHING_UP
    assert (domain.step, domain.theirs, domain.is_catching_up) == (Step.DIFFERS, count, True)
    assert count // 2 <= domain.ours < count
    assert steps == [Step.IDENTICAL, Step.IDENTICAL]


# --- Peers that misbehave.


@pytest.mark.parametrize("silence", [Ack, CaughtUp, Reconcile])
def test_a_peer_that_owes_an_answer_for_too_long_is_cut_off(silence: type[Message]) -> None:
    owed_s = 60
    limits = LinkLimits(short_pass_records=0, answer_s=owed_s, ack_s=owed_s)
    wire = Wire(HUNDRED[:50], HUNDRED[40:], BOTH, limits)
    wire.acceptor.omits = (silence,)

    wire.run_for(owed_s - 1)
    code_within_the_time = wire.codes[0]
    wire.run_for(20)

    assert (code_within_the_time, wire.codes[0]) == (None, "timeout")


def test_a_peer_that_sends_lists_all_the_time_is_cut_off() -> None:
    """Our answer to a list may be long, and a list costs the peer next to nothing."""
    lists_max = 10
    wire = Wire(limits=LinkLimits(lists_per_minute_max=lists_max))
    wire.run()

    for _ in range(lists_max):
        wire.say(wire.dialler, Domains({}))
    wire.run()

    assert wire.codes[1] == "rate_limited", "the first list opened the link"


def test_a_peer_that_lists_other_domains_every_time_leaves_no_more_behind_than_one_list() -> None:
    wire = Wire(limits=LinkLimits(lists_per_minute_max=100))
    wire.run()

    for number in range(50):
        wire.say(wire.dialler, Domains({f"d{number}": Summary(1, "ab" * 16, 5)}))
    wire.run()

    assert wire.codes == (None, None)
    assert len(wire.acceptor.link._session._course._domains) == 1  # type: ignore[union-attr]
