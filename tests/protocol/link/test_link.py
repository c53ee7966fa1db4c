"""Conversations of two links on a pretend wire, from the hello to the end, with honest and with hostile peers."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Code
from protocol.limits import SAFE_INTEGER_MAX
from protocol.link.link import Link, Phase
from protocol.link.messages import (
    FRAME_BYTES_MAX,
    LINK_VERSION,
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
from protocol.sets.negentropy import PIECE_COST, Initiator, Responder
from tests.history import CAROL, claim, signed
from tests.protocol.link.wire import ACCEPTOR, DIALLER, End, Wire
from tests.protocol.link.wire_records import PULLING, said

RECORD = signed(claim("garden"))
OTHER_RECORD = signed(claim("house", at=2))
ID = "ab" * 32
FINGERPRINT = "ab" * 16
NONCE = "7" * 64
NO_SIGNATURE = "0" * 128
HELLO = Hello(LINK_VERSION, CAROL.public, NONCE, "test", push=True, pull=True)

SIDES = pytest.mark.parametrize("side", [0, 1], ids=["dialler", "acceptor"])
"""Runs a test once for each end; `side` is its place in `Wire.ends`."""


def types_of(end: End) -> list[str]:
    return [json.loads(encode(message))["type"] for message in end.said]


def opened(limits: LinkLimits | None = None) -> Wire:
    """An open link on which both sides have said everything."""
    wire = Wire(limits=limits)
    wire.run()
    return wire


# --- The handshake.


def test_both_sides_say_hello_prove_their_keys_and_list_what_they_hold() -> None:
    wire = Wire()

    wire.run()

    assert types_of(wire.dialler)[:3] == types_of(wire.acceptor)[:3] == ["hello", "auth", "domains"]
    assert [end.link.phase for end in wire.ends] == [Phase.OPEN, Phase.OPEN]
    assert [end.link.peer_key for end in wire.ends] == [ACCEPTOR.public, DIALLER.public]
    assert [end.opened.peer_key for end in wire.ends if end.opened] == [ACCEPTOR.public, DIALLER.public]


def test_an_acceptor_says_nothing_before_the_hello_of_the_dialler() -> None:
    wire = Wire()

    assert (len(wire.dialler.sent), len(wire.acceptor.sent)) == (1, 0)


def test_each_hello_says_what_its_own_row_says() -> None:
    wire = Wire(terms=(Terms(push=True), Terms(pull=True)))

    wire.run()

    hellos = [hello for end in wire.ends for hello in said(end, Hello)]
    assert [(it.push, it.pull) for it in hellos] == [(True, False), (False, True)]


def test_terms_are_asked_for_once_and_by_an_acceptor_for_the_key_in_the_hello() -> None:
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
    wire.say(wire.dialler, Hello(LINK_VERSION + 1, CAROL.public, NONCE, "later", push=True, pull=True))

    wire.run()

    assert wire.codes == ("unsupported_version", "unsupported_version")


def test_a_replayed_handshake_opens_no_link() -> None:
    """Each side draws a nonce for each link, so a proof of one link is of no use on another link."""
    overheard = Wire()
    overheard.run()
    wire = Wire()
    wire.connect()
    wire.dialler.sent.clear()

    hello_auth_and_list = overheard.dialler.said[:3]
    for message in hello_auth_and_list:
        wire.say(wire.dialler, message)
    wire.run()

    assert wire.acceptor.opened is None
    assert wire.codes[1] == "bad_signature"


def test_a_peer_that_says_no_hello_is_cut_off() -> None:
    wire = Wire(limits=LinkLimits(handshake_s=10))
    wire.dialler.reads = wire.acceptor.reads = False

    wire.run_for(9.9)
    codes_within_the_time = wire.codes
    wire.run_for(0.2)

    assert (codes_within_the_time, wire.codes) == ((None, None), ("timeout", "timeout"))


# --- Which message is legal in which phase.

EVERY: list[Message] = [
    HELLO,
    Auth(NO_SIGNATURE),
    Domains({"example": Summary(1, FINGERPRINT, 5)}),
    Since("example", 1),
    Records(seq=1, records=()),
    Ack(1),
    CaughtUp("example", 1, FINGERPRINT),
    Reconcile("example", b""),
    Have((ID,)),
    Want((ID,)),
    Prune(),
]


def text_of(message: Message) -> str:
    return encode_records(1, [RECORD]) if isinstance(message, Records) else encode(message)


@pytest.mark.parametrize("message", [it for it in EVERY if not isinstance(it, Hello)], ids=lambda it: type(it).__name__)
@SIDES
def test_before_the_hello_no_other_message_is_legal(message: Message, side: int) -> None:
    wire = Wire()
    end, other = wire.ends[side], wire.ends[1 - side]
    other.sent.clear()
    wire.say(other, text_of(message))

    wire.deliver(other, end)

    assert end.closed is not None
    assert end.closed.code == "malformed"


@pytest.mark.parametrize("message", [it for it in EVERY if not isinstance(it, Auth)], ids=lambda it: type(it).__name__)
@SIDES
def test_before_the_proof_no_other_message_is_legal(message: Message, side: int) -> None:
    wire = Wire()
    end, other = wire.ends[side], wire.ends[1 - side]
    other.sent.clear()
    wire.say(other, HELLO)
    wire.deliver(other, end)
    wire.say(other, text_of(message))

    wire.deliver(other, end)

    assert end.link.phase is Phase.CLOSED
    assert end.closed is not None
    assert end.closed.code == "malformed"


ILLEGAL: list[tuple[str, str, Code]] = [
    ("a second hello", encode(HELLO), Code.MALFORMED),
    ("a second proof", encode(Auth(NO_SIGNATURE)), Code.MALFORMED),
    ("not JSON", "{", Code.MALFORMED),
    ("a field of a wrong type", '{"type":"since","domain":"a","timestamp":"1"}', Code.MALFORMED),
    ("too long", '{"type":"prune","x":"' + "x" * FRAME_BYTES_MAX + '"}', Code.TOO_LARGE),
    ("an ack of a frame that was never sent", encode(Ack(1)), Code.MALFORMED),
    ("an ack far ahead", encode(Ack(SAFE_INTEGER_MAX)), Code.MALFORMED),
    ("the second frame of records as the first", encode_records(2, [RECORD]), Code.MALFORMED),
    ("an empty page that is not the last", encode(Domains({}, more=True)), Code.MALFORMED),
]


@pytest.mark.parametrize(("name", "text", "code"), ILLEGAL, ids=[name for name, _, _ in ILLEGAL])
@SIDES
def test_a_frame_that_breaks_a_rule_closes_an_open_link_with_a_code(
    name: str, text: str, code: Code, side: int
) -> None:
    wire = opened()
    end, other = wire.ends[side], wire.ends[1 - side]
    wire.say(other, text)

    wire.run()

    assert end.closed is not None
    assert (end.closed.code, end.closed.is_theirs) == (code, False)
    assert other.closed == Close(code, end.closed.detail, is_theirs=True)


@SIDES
def test_either_side_answers_a_reconciliation(side: int) -> None:
    """In this program the dialler begins, but in another implementation the acceptor may begin."""
    wire = opened()
    question = Initiator(Index()).initiate()

    orders = wire.ends[side].link.on_frame(encode(Reconcile("example", question)), wire.now)

    assert orders == [Send(encode(Reconcile("example", Responder(Index()).answer(question))))]


@SIDES
def test_a_long_question_is_answered_in_pieces_and_other_calls_may_come_in_between(side: int) -> None:
    wire = opened()
    end = wire.ends[side]
    question = b"\x61" + bytes.fromhex("01 00 02 00") * (2 * PIECE_COST)

    begun = end.link.on_frame(encode(Reconcile("example", question)), wire.now)
    in_between = end.link.push([RECORD], 1, wire.now)
    was_working = end.link.is_working
    pieces = []
    while end.link.is_working:
        pieces.append(end.link.work(wire.now))

    answer = Reconcile("example", Responder(Index()).answer(question))
    assert (begun, [type(order) for order in in_between], was_working) == ([], [Send], True)
    assert pieces == [[], [Send(encode(answer))]]


def test_a_link_that_closes_between_two_pieces_says_nothing_more() -> None:
    wire = opened()
    link = wire.acceptor.link
    link.on_frame(encode(Reconcile("example", b"\x61" + bytes.fromhex("01 00 02 00") * (2 * PIECE_COST))), wire.now)

    link.close(Code.STOPPING, "this node stops")

    assert not link.is_working
    assert link.work(wire.now) == []


def test_a_question_with_too_many_ranges_closes_the_link() -> None:
    limits = LinkLimits(reconcile_ranges_max=100)
    wire = opened(limits=limits)
    question = b"\x61" + bytes.fromhex("01 00 02 00") * 101

    wire.say(wire.dialler, Reconcile("example", question))
    wire.run()

    assert wire.codes == (Code.MALFORMED, Code.MALFORMED)


def test_records_of_a_domain_that_was_not_asked_for_are_taken_in() -> None:
    wire = opened()

    orders = wire.dialler.link.on_frame(encode_records(1, [RECORD], "example"), wire.now)

    assert [type(order) for order in orders] == [Take]


OTHER_VERSION = b"\x60"
"""The first byte of a message is the version of Negentropy; ours is 0x61."""

NONSENSE = [b"\x00", b"\x61\xff", OTHER_VERSION, b"a" * 1_000, bytes.fromhex("61 00 00 03")]


@pytest.mark.parametrize("message", NONSENSE, ids=lambda it: it[:8].hex())
@SIDES
def test_nonsense_in_a_reconciliation_closes_the_link(message: bytes, side: int) -> None:
    """The acceptor alone accepts another version: it answers with its own."""
    wire = Wire([RECORD], [OTHER_RECORD], terms=PULLING)
    wire.step_until(lambda: said(wire.dialler, Reconcile))
    end, other = wire.ends[side], wire.ends[1 - side]
    other.sent.clear()
    wire.say(other, Reconcile("example", message))

    wire.deliver(other, end)

    if message != OTHER_VERSION or end is wire.dialler:
        assert end.closed is not None
        assert end.closed.code == "malformed"


def test_both_ends_count_the_same_rounds_and_bytes_of_a_reconciliation() -> None:
    wire = Wire([RECORD], [OTHER_RECORD], terms=PULLING)

    wire.run()

    dialler, acceptor = (end.link.status() for end in wire.ends)
    messages = [it.message for end in wire.ends for it in said(end, Reconcile)]
    assert (dialler.rounds, dialler.reconcile_bytes) == (1, sum(map(len, messages)))
    assert (acceptor.rounds, acceptor.reconcile_bytes) == (dialler.rounds, dialler.reconcile_bytes)


ROUNDS = 10


def test_a_reconciliation_with_too_many_rounds_closes_the_link() -> None:
    wire = Wire([RECORD], [OTHER_RECORD], terms=PULLING, limits=LinkLimits(rounds_max=ROUNDS))
    wire.step_until(lambda: said(wire.dialler, Reconcile))
    wire.acceptor.reads = False
    wrong_fingerprint = bytes.fromhex("61 00 00 01") + b"\x07" * 16

    for _ in range(ROUNDS + 1):
        wire.acceptor.sent.clear()
        wire.say(wire.acceptor, Reconcile("example", wrong_fingerprint))
        wire.deliver(wire.acceptor, wire.dialler)

    assert wire.dialler.closed is not None
    assert "does not come to an end" in wire.dialler.closed.detail


@given(data=st.data(), side=st.sampled_from([0, 1]))
def test_honest_frames_in_any_order_do_no_more_than_close_the_link(data: st.DataObject, side: int) -> None:
    """Replayed, reordered, left out: whatever comes, no call raises an error, and at most one `Close` is ordered."""
    honest = Wire([RECORD], [OTHER_RECORD])
    honest.run()
    honest.run_for(5)
    frames = [encode(it) for it in honest.ends[1 - side].said]
    chosen = data.draw(st.lists(st.sampled_from(frames), max_size=12))
    wire = Wire([RECORD], [OTHER_RECORD])
    for _ in range(data.draw(st.integers(0, 12))):
        wire.step()
    end, other = wire.ends[side], wire.ends[1 - side]
    other.reads = False

    for text in chosen:
        end.carry_out(end.link.on_frame(text, wire.now), wire.now)
        wire.run()

    assert (end.closed is not None) is (end.link.phase is Phase.CLOSED)


@given(cut=st.data())
def test_a_frame_that_is_cut_off_closes_the_link_and_raises_no_error(cut: st.DataObject) -> None:
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


# --- Unknown types, and the end.


def test_frames_of_later_types_are_ignored_in_every_phase() -> None:
    wire = Wire()

    while wire.step():
        for end in wire.ends:
            end.carry_out(end.link.on_frame('{"type":"later"}', wire.now), wire.now)

    assert wire.codes == (None, None)


@pytest.mark.parametrize("code", [Code.STOPPING, Code.RESTART, Code.DUPLICATE_LINK])
def test_the_other_side_learns_why_a_link_is_closed(code: Code) -> None:
    wire = opened()

    wire.dialler.carry_out(wire.dialler.link.close(code, "why"), wire.now)
    wire.run()

    assert wire.dialler.closed == Close(code, "why")
    assert wire.acceptor.closed == Close(code, "why", is_theirs=True)


def test_a_code_that_this_version_does_not_know_is_passed_on_as_it_is() -> None:
    wire = opened()
    wire.say(wire.dialler, Error("later_code", "a later reason"))

    wire.run()

    assert wire.acceptor.closed == Close("later_code", "a later reason", is_theirs=True)


def test_a_closed_link_orders_nothing() -> None:
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


@pytest.mark.parametrize("message", [Have((ID,), hops=3), Want((ID,), eager=True), Prune()], ids=repr)
def test_a_message_of_gossip_is_sent_as_it_is(message: Have | Want | Prune) -> None:
    wire = opened()

    orders = wire.dialler.link.tell(message, wire.now)

    assert orders == [Send(encode(message))]
    assert decode(encode(message)) == message


def test_opened_is_the_first_order_of_an_open_link_beside_frames() -> None:
    wire = Wire([RECORD], [OTHER_RECORD])

    wire.run()

    for end in wire.ends:
        others = [order for order in end.orders if not isinstance(order, Opened | Send)]
        assert others
        assert end.orders.index(others[0]) > end.orders.index(end.opened)  # type: ignore[arg-type]


def test_a_link_with_nothing_to_do_is_live() -> None:
    wire = opened()

    assert [end.link.status().state for end in wire.ends] == [LinkState.LIVE, LinkState.LIVE]
    assert isinstance(wire.dialler.link, Link)
