"""Conversations of two links on a pretend wire, from the greeting to the goodbye, honest and hostile."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Code
from protocol.link.link import Link, Phase
from protocol.link.messages import (
    FRAME_BYTES_MAX,
    Ack,
    Auth,
    CaughtUp,
    Domains,
    Error,
    Have,
    Hello,
    Message,
    Prune,
    Reconcile,
    Records,
    Since,
    Summary,
    Want,
    decode,
    encode,
    encode_records,
)
from protocol.link.orders import Close, Opened, Send, Take
from protocol.link.status import LinkState
from protocol.link.terms import LinkLimits, Terms
from protocol.sets.index import Index
from protocol.sets.negentropy import Initiator, Responder
from tests.history import CAROL, claim, signed
from tests.protocol.link.wire import ACCEPTOR, DIALLER, End, Wire

RECORD = signed(claim("garden"))
SUMMARY = Summary(1, "ab" * 16, 5)
HELLO = Hello(1, CAROL.public, "7" * 64, "test", push=True, pull=True)


def types_of(end: End) -> list[str]:
    return [json.loads(encode(message))["type"] for message in end.said]


def opened() -> Wire:
    """A link on which everything has been said that need be."""
    wire = Wire()
    wire.run()
    return wire


# --- The greeting.


def test_two_nodes_greet_prove_who_they_are_and_say_what_they_hold() -> None:
    wire = Wire()

    wire.run()

    assert types_of(wire.dialler)[:3] == types_of(wire.acceptor)[:3] == ["hello", "auth", "domains"]
    assert [end.link.phase for end in wire.ends] == [Phase.OPEN, Phase.OPEN]
    assert [end.link.peer_key for end in wire.ends] == [ACCEPTOR.public, DIALLER.public]
    assert [end.opened.peer_key for end in wire.ends if end.opened] == [ACCEPTOR.public, DIALLER.public]


def test_an_acceptor_says_nothing_before_it_was_greeted() -> None:
    wire = Wire()

    assert (len(wire.dialler.sent), len(wire.acceptor.sent)) == (1, 0)


def test_each_says_what_its_own_row_says() -> None:
    wire = Wire(terms=(Terms(push=True), Terms(pull=True)))

    wire.run()

    hellos = [message for end in wire.ends for message in end.said if isinstance(message, Hello)]
    assert [(it.push, it.pull) for it in hellos] == [(True, False), (False, True)]


def test_terms_are_asked_for_once_and_by_an_acceptor_for_the_key_that_greets_it() -> None:
    wire = opened()

    assert [end.asked for end in wire.ends] == [[None], [DIALLER.public]]


def test_a_peer_whose_key_is_not_the_pinned_one_is_refused() -> None:
    wire = Wire(terms=(Terms(pull=True, expected_key=CAROL.public), Terms()))

    wire.run()

    assert wire.codes == ("unauthorized", "unauthorized")
    assert [end.opened for end in wire.ends] == [None, None]


def test_a_node_that_dials_itself_notices() -> None:
    wire = Wire()
    wire.acceptor.key = wire.dialler.key
    wire.connect()

    wire.run()

    assert wire.codes == ("unauthorized", "unauthorized")


def test_another_version_is_refused_with_a_code() -> None:
    wire = Wire()
    wire.dialler.sent.clear()
    wire.say(wire.dialler, encode(Hello(2, CAROL.public, "7" * 64, "later", push=True, pull=True)))

    wire.run()

    assert wire.codes == ("unsupported_version", "unsupported_version")


def test_a_whole_handshake_that_was_overheard_opens_no_link() -> None:
    """Each side draws a nonce for each link, so a proof made for one is of no use on another."""
    overheard = Wire()
    overheard.run()
    wire = Wire()
    wire.connect()
    wire.dialler.sent.clear()

    for message in overheard.dialler.said[:3]:
        wire.say(wire.dialler, encode(message))
    wire.run()

    assert wire.acceptor.opened is None
    assert wire.codes[1] == "bad_signature"


def test_a_peer_that_says_nothing_is_cut_off() -> None:
    wire = Wire(limits=LinkLimits(handshake_s=10))
    wire.dialler.reads = wire.acceptor.reads = False

    wire.run_for(9.9)
    early = wire.codes
    wire.run_for(0.2)

    assert (early, wire.codes) == ((None, None), ("timeout", "timeout"))


# --- What is legal when.

EVERY: list[Message] = [
    HELLO,
    Auth("0" * 128),
    Domains({"example": SUMMARY}),
    Since("example", 1),
    Records(seq=1, records=()),
    Ack(1),
    CaughtUp("example", 1, "ab" * 16),
    Reconcile("example", b""),
    Have(("ab" * 32,)),
    Want(("ab" * 32,)),
    Prune(),
]


def text_of(message: Message) -> str:
    return encode_records(1, [RECORD]) if isinstance(message, Records) else encode(message)


@pytest.mark.parametrize("message", [it for it in EVERY if not isinstance(it, Hello)], ids=lambda it: type(it).__name__)
@pytest.mark.parametrize("side", [0, 1], ids=["dialler", "acceptor"])
def test_before_the_greeting_nothing_else_may_be_said(message: Message, side: int) -> None:
    wire = Wire()
    end, other = wire.ends[side], wire.ends[1 - side]
    other.sent.clear()
    wire.say(other, text_of(message))

    wire.deliver(other, end)

    assert end.closed is not None
    assert end.closed.code == "malformed"


@pytest.mark.parametrize("message", [it for it in EVERY if not isinstance(it, Auth)], ids=lambda it: type(it).__name__)
@pytest.mark.parametrize("side", [0, 1], ids=["dialler", "acceptor"])
def test_before_the_proof_nothing_else_may_be_said(message: Message, side: int) -> None:
    wire = Wire()
    end, other = wire.ends[side], wire.ends[1 - side]
    other.sent.clear()
    wire.say(other, encode(HELLO))
    wire.deliver(other, end)
    wire.say(other, text_of(message))

    wire.deliver(other, end)

    assert end.link.phase is Phase.CLOSED
    assert end.closed is not None
    assert end.closed.code == "malformed"


ILLEGAL: list[tuple[str, str, Code]] = [
    ("a second hello", encode(HELLO), Code.MALFORMED),
    ("a second proof", encode(Auth("0" * 128)), Code.MALFORMED),
    ("no JSON", "{", Code.MALFORMED),
    ("another type of a field", '{"type":"since","domain":"a","timestamp":"1"}', Code.MALFORMED),
    ("too long", '{"type":"prune","x":"' + "x" * FRAME_BYTES_MAX + '"}', Code.TOO_LARGE),
    ("an ack of what was never sent", encode(Ack(1)), Code.MALFORMED),
    ("an ack far ahead", encode(Ack(2**53 - 1)), Code.MALFORMED),
    ("the second frame of records first", encode_records(2, [RECORD]), Code.MALFORMED),
    ("an empty page that is not the last", encode(Domains({}, more=True)), Code.MALFORMED),
]


@pytest.mark.parametrize(("name", "text", "code"), ILLEGAL, ids=[name for name, _, _ in ILLEGAL])
@pytest.mark.parametrize("side", [0, 1], ids=["dialler", "acceptor"])
def test_what_breaks_a_rule_closes_an_open_link_with_a_code(name: str, text: str, code: Code, side: int) -> None:
    wire = opened()
    end, other = wire.ends[side], wire.ends[1 - side]
    wire.say(other, text)

    wire.run()

    assert end.closed is not None
    assert (end.closed.code, end.closed.is_theirs) == (code, False)
    assert other.closed == Close(code, end.closed.detail, is_theirs=True)


@pytest.mark.parametrize("side", [0, 1], ids=["dialler", "acceptor"])
def test_whoever_is_asked_to_reconcile_answers(side: int) -> None:
    """Ours is always the dialler that begins, but another implementation may have its acceptor begin."""
    wire = opened()
    question = Initiator(Index()).initiate()

    orders = wire.ends[side].link.on_frame(encode(Reconcile("example", question)), wire.now)

    assert orders == [Send(encode(Reconcile("example", Responder(Index()).answer(question))))]


def test_records_that_name_a_domain_which_was_not_asked_for_are_taken_like_any() -> None:
    wire = opened()

    orders = wire.dialler.link.on_frame(encode_records(1, [RECORD], "example"), wire.now)

    assert [type(order) for order in orders] == [Take]


NONSENSE = [b"\x00", b"\x61\xff", b"\x60", b"a" * 1_000, bytes.fromhex("61 00 00 03")]


@pytest.mark.parametrize("message", NONSENSE, ids=lambda it: it[:8].hex())
@pytest.mark.parametrize("side", [0, 1], ids=["dialler", "acceptor"])
def test_nonsense_in_a_reconciliation_closes_the_link(message: bytes, side: int) -> None:
    """A version that is not ours is no nonsense to the acceptor: it answers with its own."""
    wire = Wire([RECORD], [signed(claim("house"))], terms=(Terms(pull=True), Terms()))
    while not any(isinstance(said, Reconcile) for said in wire.dialler.said):
        assert wire.step()
    end, other = wire.ends[side], wire.ends[1 - side]
    other.sent.clear()
    wire.say(other, encode(Reconcile("example", message)))

    wire.deliver(other, end)

    if message != b"\x60" or side == 0:
        assert end.closed is not None
        assert end.closed.code == "malformed"


def test_both_ends_count_the_same_rounds_and_bytes_of_a_reconciliation() -> None:
    wire = Wire([RECORD], [signed(claim("house"))], terms=(Terms(pull=True), Terms()))

    wire.run()

    dialler, acceptor = (end.link.status() for end in wire.ends)
    messages = [it.message for end in wire.ends for it in end.said if isinstance(it, Reconcile)]
    assert (dialler.rounds, dialler.reconcile_bytes) == (1, sum(map(len, messages)))
    assert (acceptor.rounds, acceptor.reconcile_bytes) == (dialler.rounds, dialler.reconcile_bytes)


def test_a_reconciliation_that_never_ends_closes_the_link() -> None:
    wire = Wire([RECORD], [signed(claim("house"))], terms=(Terms(pull=True), Terms()), limits=LinkLimits(rounds_max=10))
    while not any(isinstance(said, Reconcile) for said in wire.dialler.said):
        assert wire.step()
    wire.acceptor.reads = False
    never_equal = bytes.fromhex("61 00 00 01") + b"\x07" * 16

    for _ in range(11):
        wire.acceptor.sent.clear()
        wire.say(wire.acceptor, encode(Reconcile("example", never_equal)))
        wire.deliver(wire.acceptor, wire.dialler)

    assert wire.dialler.closed is not None
    assert "does not come to an end" in wire.dialler.closed.detail


@given(data=st.data(), side=st.sampled_from([0, 1]))
def test_no_order_or_repetition_of_honest_frames_does_more_than_close_the_link(data: st.DataObject, side: int) -> None:
    """Replayed, reordered, left out: whatever comes, no call raises, and at most one `Close` comes of it."""
    honest = Wire([RECORD], [signed(claim("house", at=2))])
    honest.run()
    honest.run_for(5)
    frames = [encode(it) for it in honest.ends[1 - side].said]
    chosen = data.draw(st.lists(st.sampled_from(frames), max_size=12))
    wire = Wire([RECORD], [signed(claim("house", at=2))])
    for _ in range(data.draw(st.integers(0, 12))):
        wire.step()
    end, other = wire.ends[side], wire.ends[1 - side]
    other.reads = False

    for text in chosen:
        end.carry_out(end.link.on_frame(text, wire.now), wire.now)
        wire.run()

    assert (end.closed is not None) is (end.link.phase is Phase.CLOSED)


@given(cut=st.data())
def test_a_frame_that_is_cut_off_closes_the_link_and_raises_nothing(cut: st.DataObject) -> None:
    wire = Wire([RECORD], [])
    for _ in range(cut.draw(st.integers(0, 8))):
        wire.step()
    sides = [(end, other) for end, other in (wire.ends, wire.ends[::-1]) if end.sent]
    if not sides:
        return
    end, other = cut.draw(st.sampled_from(sides))
    text = end.sent.popleft()
    end.sent.appendleft(text[: cut.draw(st.integers(0, len(text) - 1))])

    wire.deliver(end, other)

    assert other.closed is not None
    assert other.closed.code == "malformed"


# --- Unknown things, and the goodbye.


def test_frames_of_types_that_come_later_are_ignored_in_every_phase() -> None:
    wire = Wire()

    while wire.step():
        for end in wire.ends:
            end.carry_out(end.link.on_frame('{"type":"later"}', wire.now), wire.now)

    assert wire.codes == (None, None)


@pytest.mark.parametrize("code", [Code.STOPPING, Code.RESTART, Code.DUPLICATE_LINK])
def test_a_goodbye_reaches_the_other_side_with_its_reason(code: Code) -> None:
    wire = opened()

    wire.dialler.carry_out(wire.dialler.link.close(code, "why"), wire.now)
    wire.run()

    assert wire.dialler.closed == Close(code, "why")
    assert wire.acceptor.closed == Close(code, "why", is_theirs=True)


def test_a_reason_that_this_version_does_not_know_is_passed_on_as_it_is() -> None:
    wire = opened()
    wire.say(wire.dialler, encode(Error("later_code", "a later reason")))

    wire.run()

    assert wire.acceptor.closed == Close("later_code", "a later reason", is_theirs=True)


def test_a_closed_link_says_and_asks_nothing_more() -> None:
    wire = opened()
    link = wire.dialler.link
    link.close(Code.STOPPING, "why")

    calls: list[Callable[[], object]] = [
        lambda: link.on_frame(encode(Prune()), wire.now),
        lambda: link.on_time(wire.now + 1_000),
        lambda: link.on_taken(1, [], wire.now),
        lambda: link.on_loaded(1, [], wire.now),
        lambda: link.push([RECORD], 1, wire.now),
        lambda: link.give([RECORD.record.id], 0, wire.now),
        lambda: link.tell(Prune(), wire.now),
        lambda: link.close(Code.STOPPING, "again"),
    ]

    assert [call() for call in calls] == [[]] * len(calls)
    assert link.next_at is None


@pytest.mark.parametrize("message", [Have(("ab" * 32,), 3), Want(("ab" * 32,), eager=True), Prune()], ids=repr)
def test_what_gossip_says_is_told_and_heard(message: Have | Want | Prune) -> None:
    wire = opened()

    orders = wire.dialler.link.tell(message, wire.now)

    assert orders == [Send(encode(message))]
    assert decode(encode(message)) == message


def test_opened_comes_before_anything_that_an_open_link_orders() -> None:
    wire = Wire([RECORD], [signed(claim("house"))])

    wire.run()

    for end in wire.ends:
        others = [order for order in end.orders if not isinstance(order, Opened | Send)]
        assert others
        assert end.orders.index(others[0]) > end.orders.index(end.opened)  # type: ignore[arg-type]


def test_a_link_that_has_nothing_to_do_is_live() -> None:
    wire = opened()

    assert [end.link.status().state for end in wire.ends] == [LinkState.LIVE, LinkState.LIVE]
    assert isinstance(wire.dialler.link, Link)
