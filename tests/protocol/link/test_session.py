"""Two nodes on a pretend wire come to hold the same: whatever they held, whatever comes meanwhile, in any order."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.link.messages import Ack, CaughtUp, Domains, Reconcile, Records, Since, Summary, Want, encode
from protocol.link.status import LinkState, Step
from protocol.link.terms import Flow, LinkLimits, Terms
from tests.history import claim, signed
from tests.protocol.link.wire import Wire
from tests.protocol.link.wire_records import BOTH, HUNDRED, count_sent, records, said

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


# --- The law.


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    shares=st.tuples(*[st.sampled_from([0.0, 0.1, 0.5, 1.0])] * 2),
    counts=st.tuples(st.sampled_from([0, 3, 30, 200]), st.sampled_from([0, 5, 40])),
    rows=st.tuples(*[st.booleans()] * 4),
    has_cursors=st.booleans(),
    limits=st.sampled_from([LinkLimits(), NARROW]),
    breaks=st.booleans(),
)
def test_a_link_ends_with_equal_sets_in_every_wanted_direction(
    seed: int,
    shares: tuple[float, float],
    counts: tuple[int, int],
    rows: tuple[bool, bool, bool, bool],
    has_cursors: bool,
    limits: LinkLimits,
    breaks: bool,
) -> None:
    """Whatever each held, whatever its cursors claim, with records written meanwhile and links that break."""
    random = Random(seed)
    pool = random.sample(POOL, sum(counts))
    old, live = pool[: counts[0]], pool[counts[0] :]
    held = [[it for it in old if random.random() < share] for share in shares]
    terms = [
        Terms(push=push, pull=pull, cursors=any_cursors(random) if has_cursors else {})
        for push, pull in (rows[:2], rows[2:])
    ]
    wire = Wire(held[0], held[1], (terms[0], terms[1]), limits, random)

    for it in live:
        for _ in range(random.choice([0, 1, 10])):
            wire.step()
        random.choice(wire.ends).write(it, wire.now)
        if breaks and random.random() < 0.03:
            wire.connect()
    wire.run()
    wire.run_for(40)

    ours, theirs = wire.dialler.ids, wire.acceptor.ids
    assert wire.codes == (None, None)
    assert ours <= theirs or not (rows[0] or rows[3])
    assert theirs <= ours or not (rows[1] or rows[2])
    for end in wire.ends:
        status = end.link.status()
        assert (status.state, status.in_flight_frames, status.queued) == (LinkState.LIVE, 0, 0)


def any_cursors(random: Random) -> dict[tuple[str, Flow], int]:
    return {(domain, flow): random.randrange(150) for domain in ("a", "b.c") for flow in Flow}


# --- Catch-up by time.


def test_who_pulls_asks_from_its_cursor_on_and_is_sent_what_is_newer_oldest_first() -> None:
    cursor = {("example", Flow.PULL): 61}
    wire = Wire(HUNDRED[:60], HUNDRED, (Terms(pull=True, cursors=cursor), Terms()))

    wire.run()

    assert said(wire.dialler, Since) == [Since("example", 61)]
    sent = [it for message in wire.acceptor.said if isinstance(message, Records) for it in message.records]
    assert [it.signature for it in sent] == [it.signature for it in HUNDRED[60:]]
    assert wire.dialler.ids == wire.acceptor.ids
    assert said(wire.dialler, Reconcile) == []


def test_who_left_off_where_the_peer_did_repeats_nothing_and_both_know_in_the_end_that_they_are_equal() -> None:
    """What a nap costs: neither the records of the last second twice, nor lists once more before anything is wrong."""
    cursors = {("example", Flow.PULL): 61, ("example", Flow.PUSH): 61}
    wire = Wire(HUNDRED[:61], HUNDRED, (Terms(push=True, pull=True, cursors=cursors), Terms()))

    wire.run()

    assert count_sent(wire.dialler) == 0
    assert wire.dialler.ids == wire.acceptor.ids
    assert len(said(wire.dialler, Domains)) == len(said(wire.acceptor, Domains)) == 1
    assert [end.link.status().domains["example"].step for end in wire.ends] == [Step.IDENTICAL, Step.IDENTICAL]


def test_what_was_about_to_be_committed_as_the_link_opened_is_found_soon() -> None:
    """It is on neither list, and was decided too early to be pushed."""
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(settle_s=10))
    late = records(1, begin=50, note="late")[0]
    while not said(wire.dialler, Domains):
        assert wire.step()
    while wire.dialler.link.state is not LinkState.LIVE:
        assert wire.step()
    wire.dialler.commit(late)

    wire.run_for(30)

    assert late.record.id in wire.acceptor.ids


def test_who_pushes_to_a_node_that_does_not_pull_runs_the_pass_by_its_own_cursor() -> None:
    cursor = {("example", Flow.PUSH): 61}
    wire = Wire(HUNDRED, HUNDRED[:60], (Terms(push=True, cursors=cursor), Terms()))

    wire.run()

    assert count_sent(wire.dialler) == 40
    assert said(wire.acceptor, Since) == []
    assert wire.dialler.ids == wire.acceptor.ids


def test_an_acceptor_with_a_row_for_the_dialler_pushes_and_pulls_too() -> None:
    wire = Wire(HUNDRED[:30], HUNDRED[70:], (Terms(), Terms(push=True, pull=True)))

    wire.run()

    assert wire.dialler.ids == wire.acceptor.ids == {it.record.id for it in HUNDRED[:30] + HUNDRED[70:]}


def test_equal_domains_are_passed_over() -> None:
    wire = Wire(HUNDRED, HUNDRED, BOTH)

    wire.run()

    assert {type(it) for end in wire.ends for it in end.said if isinstance(it, Since | Records | Reconcile)} == set()


def test_cursors_alone_leave_late_records_behind_and_reconciliation_finds_them() -> None:
    """A record that arrives with an older timestamp than the cursor is never asked for again by time."""
    late = records(5, begin=10, note="late")
    cursors = {("example", Flow.PULL): 100, ("example", Flow.PUSH): 100}
    wire = Wire(HUNDRED, [*HUNDRED, *late], (Terms(push=True, pull=True, cursors=cursors), Terms()))

    while not said(wire.dialler, Reconcile):
        assert wire.step()
    by_time_alone = wire.acceptor.ids - wire.dialler.ids
    assert said(wire.acceptor, CaughtUp)
    wire.run()

    assert by_time_alone == {it.record.id for it in late}
    assert wire.acceptor.ids == wire.dialler.ids
    assert count_sent(wire.acceptor) <= 6


def test_without_a_cursor_who_holds_most_already_skips_the_pass() -> None:
    """It would bring a hundred records to find one."""
    wire = Wire(HUNDRED[1:], HUNDRED, (Terms(pull=True), Terms()), LinkLimits(short_pass_records=99))

    wire.run()

    assert wire.dialler.ids == wire.acceptor.ids
    assert count_sent(wire.acceptor) == 1


def test_a_short_pass_is_never_skipped() -> None:
    wire = Wire(HUNDRED[1:], HUNDRED, (Terms(pull=True), Terms()), LinkLimits(short_pass_records=100))

    wire.run()

    assert wire.dialler.ids == wire.acceptor.ids
    assert count_sent(wire.acceptor) == 100


def test_a_skipped_pass_moves_no_cursor_before_the_reconciliation_has_found_the_rest() -> None:
    wire = Wire(HUNDRED[1:], HUNDRED, (Terms(pull=True), Terms()), LinkLimits(short_pass_records=99))

    while not said(wire.dialler, Reconcile):
        assert wire.step()

    assert wire.dialler.cursors == {}


def test_catch_up_goes_on_where_a_broken_link_left_off() -> None:
    wire = Wire([], records(3_000), (Terms(pull=True), Terms()))
    while len(wire.dialler.held) < 1_500:
        assert wire.step()

    wire.connect()
    wire.run()

    assert wire.dialler.ids == wire.acceptor.ids
    assert count_sent(wire.acceptor) < 3_000 + 2_048 + 256
    assert wire.dialler.copies <= 300


def test_only_domains_that_are_kept_are_asked_for() -> None:
    wire = Wire([], [*records(3, "kept"), *records(3, "other")], (Terms(pull=True, kept=frozenset(["kept"])), Terms()))

    wire.run()
    wire.run_for(40)

    assert said(wire.dialler, Since) == [Since("kept", 0)]
    assert {it.record.domain for it in wire.dialler.held.values()} == {"kept"}


def test_many_domains_are_listed_in_pages_and_asked_for_a_few_at_a_time() -> None:
    held = [signed(claim("garden", domain=f"d{number}")) for number in range(501)]
    wire = Wire([], held, (Terms(pull=True), Terms()), LinkLimits(asked_domains_max=2))
    asked_at_once = 0

    while wire.step():
        asked = len(said(wire.dialler, Since)) - len(said(wire.acceptor, CaughtUp))
        asked_at_once = max(asked, asked_at_once)

    assert [len(page.domains) for page in said(wire.acceptor, Domains)[:2]] == [500, 1]  # type: ignore[attr-defined]
    assert wire.dialler.ids == wire.acceptor.ids
    assert asked_at_once == 2


@pytest.mark.parametrize(("listed", "code"), [(3, None), (4, "too_large")])
def test_a_peer_may_list_so_many_domains_and_not_one_more(listed: int, code: str | None) -> None:
    held = [signed(claim("garden", domain=f"d{number}")) for number in range(listed)]
    wire = Wire([], held, (Terms(), Terms()), (LinkLimits(domains_max=3), LinkLimits()))

    wire.run()

    assert wire.codes == (code, code)


@pytest.mark.parametrize("domain", ["example", "nothing.of.it", "xn--"[:2]])
@pytest.mark.parametrize("timestamp", [0, 50, 2**53 - 1])
def test_every_legal_since_is_answered(domain: str, timestamp: int) -> None:
    wire = Wire(HUNDRED, HUNDRED, (Terms(), Terms()))
    wire.run()
    wire.run_for(5)
    wire.acceptor.reads = False

    wire.dialler.carry_out(wire.dialler.link.on_frame(encode(Since(domain, timestamp)), wire.now), wire.now)
    wire.run()

    sent = [it for message in said(wire.dialler, Records) for it in message.records]  # type: ignore[attr-defined]
    expected = [it.signature for it in HUNDRED if it.record.timestamp >= timestamp and it.record.domain == domain]
    assert [it.signature for it in sent] == expected
    assert isinstance(wire.dialler.said[-1], CaughtUp)


def test_a_flood_of_since_for_domains_that_do_not_exist_is_held_nowhere() -> None:
    wire = Wire(HUNDRED, [], (Terms(), Terms()))
    wire.run()
    answered = len(said(wire.dialler, CaughtUp))

    for number in range(1_000):
        wire.say(wire.acceptor, encode(Since(f"d{number}", 1)))
    wire.run()

    assert len(said(wire.dialler, CaughtUp)) == answered + 1_000
    assert len(wire.dialler.link._session.sender._queues.passes) == 0  # type: ignore[union-attr]


# --- Live.


def test_a_live_record_is_sent_in_the_call_that_brought_it() -> None:
    wire = Wire(HUNDRED, HUNDRED, BOTH)
    wire.run()
    sent = count_sent(wire.dialler)

    wire.dialler.write(records(1, begin=500)[0], wire.now)

    assert count_sent(wire.dialler) == sent + 1
    assert wire.dialler.loads == []


def test_live_records_overtake_a_catch_up() -> None:
    """A catch-up leaves a part of the window to them."""
    wire = Wire([], records(5_000), (Terms(pull=True), Terms()))
    while not said(wire.dialler, Since):
        assert wire.step()
    wire.dialler.reads = False
    wire.run()
    live = records(1, begin=9_000)[0]

    wire.acceptor.write(live, wire.now)

    assert len(wire.acceptor.said[-1].records) == 1  # type: ignore[union-attr]


def test_a_record_never_goes_back_over_the_link_that_it_came_from() -> None:
    wire = Wire([], HUNDRED, BOTH)
    wire.run()

    wire.dialler.carry_out(wire.dialler.link.push(HUNDRED, 2, wire.now), wire.now)
    wire.dialler.carry_out(wire.dialler.link.on_frame(encode(Since("example", 0)), wire.now), wire.now)
    wire.run()

    assert count_sent(wire.dialler) == 0


def test_live_records_move_the_cursors_once_the_passes_are_over() -> None:
    wire = Wire(HUNDRED, HUNDRED, BOTH)
    wire.run()

    wire.dialler.write(records(1, begin=500)[0], wire.now)
    wire.run()
    wire.acceptor.write(records(1, begin=700)[0], wire.now)
    wire.run()

    assert wire.dialler.cursors == {("example", Flow.PUSH): 500, ("example", Flow.PULL): 700}


def test_what_is_wanted_is_given_with_its_hops() -> None:
    wire = Wire(HUNDRED, [], (Terms(), Terms()))
    wire.run()
    wire.say(wire.acceptor, encode(Want((HUNDRED[3].record.id, "00" * 32), eager=True)))

    wire.run()

    (frame,) = said(wire.dialler, Records)
    assert (frame.hops, len(frame.records), frame.domain) == (1, 1, None)  # type: ignore[attr-defined]
    assert HUNDRED[3].record.id in wire.acceptor.ids


def test_acks_come_in_order_after_every_commit_before_them() -> None:
    wire = Wire([], records(1_000), (Terms(pull=True), Terms()))
    while len(wire.dialler.takes) < 4:
        next(wire.moves(takes=False))()
    first, *rest = wire.dialler.takes

    for take in rest:
        wire.dialler.finish_take(take, wire.now)
    before = said(wire.dialler, Ack)
    wire.dialler.finish_take(first, wire.now)

    assert before == []
    assert said(wire.dialler, Ack) == [Ack(rest[-1].seq)]


# --- What an operator sees.


def test_a_status_shows_how_far_each_domain_has_come() -> None:
    wire = Wire([], records(1_000), (Terms(pull=True), Terms()))
    while len(wire.dialler.held) < 500:
        assert wire.step()
    status = wire.dialler.link.status()

    domain = status.domains["example"]
    assert (status.state, domain.step, domain.theirs, domain.is_catching_up) == (
        LinkState.CATCHING_UP,
        Step.DIFFERS,
        1_000,
        True,
    )
    assert 500 <= domain.ours < 1_000

    wire.run()
    wire.run_for(1)
    statuses = [end.link.status().domains["example"].step for end in wire.ends]
    assert statuses == [Step.IDENTICAL, Step.IDENTICAL]


# --- Peers that misbehave.


@pytest.mark.parametrize("silence", [Ack, CaughtUp, Reconcile])
def test_a_peer_that_leaves_out_what_is_due_is_cut_off(silence: type) -> None:
    wire = Wire(HUNDRED[:50], HUNDRED[40:], BOTH, LinkLimits(short_pass_records=0))
    wire.acceptor.omits = (silence,)

    wire.run_for(59)
    early = wire.codes[0]
    wire.run_for(20)

    assert (early, wire.codes[0]) == (None, "timeout")


def test_a_peer_that_lists_itself_all_the_time_is_cut_off() -> None:
    """An answer may be long, and asking for it costs next to nothing."""
    wire = Wire(limits=LinkLimits(lists_per_minute_max=10))
    wire.run()

    for _ in range(11):
        wire.say(wire.dialler, encode(Domains({})))
    wire.run()

    assert wire.codes[1] == "rate_limited"


def test_a_peer_that_lists_other_domains_every_time_leaves_no_more_behind_than_one_list() -> None:
    wire = Wire(limits=LinkLimits(lists_per_minute_max=100))
    wire.run()

    for number in range(50):
        wire.say(wire.dialler, encode(Domains({f"d{number}": Summary(1, "ab" * 16, 5)})))
    wire.run()

    assert wire.codes == (None, None)
    assert len(wire.acceptor.link._session._course._domains) == 1  # type: ignore[union-attr]
