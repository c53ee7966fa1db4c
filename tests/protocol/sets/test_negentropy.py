"""Negentropy: two sides on a pretend wire, and messages written by hand from the specification."""

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Code, ProtocolError
from protocol.sets.index import Index, key_id, pack_key
from protocol.sets.negentropy import _IDS_AT_ONCE, REPORTED_MAX, Difference, Initiator, Responder
from protocol.sets.negentropy_message import FRAME_BYTES_MIN
from protocol.sets.varint import encode_varint
from tests.examples import percent
from tests.protocol.sets.keys import ids_of, random_keys, record_id

ALL_IDS = bytes.fromhex("61 00 00 02 00")
"""The first message of an initiator that holds nothing: a list of no ids, up to infinity."""


@dataclass
class Conversation:
    """A whole reconciliation: every message, and what the initiator learned, in order."""

    messages: list[bytes] = field(default_factory=list)
    have: list[bytes] = field(default_factory=list)
    need: list[bytes] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        return len(self.messages) // 2


def learned(initiator: Initiator, message: bytes) -> tuple[bytes | None, list[bytes], list[bytes]]:
    """All that the initiator learns from a message: the reply, and the ids that only one side holds."""
    reply, have, need = initiator.answer(message)
    return reply, list(have), need


def converse(ours: Index, theirs: Index, limits: tuple[int, int] = (0, 0)) -> Conversation:
    initiator, responder = Initiator(ours, limits[0]), Responder(theirs, limits[1])
    conversation = Conversation()
    message: bytes | None = initiator.initiate()
    while message is not None:
        answer = responder.answer(message)
        conversation.messages += [message, answer]
        message, have, need = initiator.answer(answer)
        conversation.have += have
        conversation.need += need
    return conversation


# Any two sets: the initiator learns the difference.

SETS = [
    # name, shared keys, keys only of ours, keys only of theirs, most rounds
    ("nothing on either side", 0, 0, 0, 1),
    ("the same one key", 1, 0, 0, 1),
    ("the same keys", 5_000, 0, 0, 1),
    ("only ours, few", 0, 31, 0, 1),
    ("only ours, many", 0, 5_000, 0, 1),
    ("only theirs", 0, 0, 5_000, 1),
    ("nothing in common", 0, 3_000, 3_000, 2),
    ("one key missing in the middle", 5_000, 0, 1, 2),
    ("scattered differences", 20_000, 50, 50, 3),
]


@pytest.mark.parametrize(("name", "shared", "ours", "theirs", "rounds_max"), SETS)
def test_the_initiator_learns_the_exact_difference_in_few_rounds(
    name: str, shared: int, ours: int, theirs: int, rounds_max: int
) -> None:
    keys = random_keys(shared + ours + theirs)
    mixed = Random(2).sample(keys, len(keys))
    only_ours, only_theirs = mixed[:ours], mixed[ours : ours + theirs]

    conversation = converse(Index({*keys} - {*only_theirs}), Index({*keys} - {*only_ours}))

    assert sorted(conversation.have) == sorted(ids_of(only_ours))
    assert sorted(conversation.need) == sorted(ids_of(only_theirs))
    assert conversation.rounds <= rounds_max


def test_to_find_a_missing_tail_costs_few_bytes_beyond_its_ids() -> None:
    keys = random_keys(20_000)

    conversation = converse(Index(keys[:-100]), Index(keys))

    assert set(conversation.need) == ids_of(keys[-100:])
    assert sum(map(len, conversation.messages)) < 100 * 32 + 4_000


@given(
    count=st.integers(0, 600),
    seed=st.integers(0, 2**32),
    seconds=st.sampled_from([1, 5, 10_000]),
    weights=st.tuples(*[st.integers(0, 10)] * 3).filter(any),
    limits=st.tuples(*[st.sampled_from([0, FRAME_BYTES_MIN, 5_000])] * 2),
)
def test_any_two_sets_are_reconciled_within_any_limit_on_frames(
    count: int, seed: int, seconds: int, weights: tuple[int, int, int], limits: tuple[int, int]
) -> None:
    random = Random(seed)
    keys = [pack_key(random.randrange(seconds), random.randbytes(32)) for _ in range(count)]
    places = random.choices(["ours", "theirs", "both"], weights, k=count)
    only_ours = [key for key, place in zip(keys, places, strict=True) if place == "ours"]
    only_theirs = [key for key, place in zip(keys, places, strict=True) if place == "theirs"]

    conversation = converse(Index({*keys} - {*only_theirs}), Index({*keys} - {*only_ours}), limits)

    assert sorted(conversation.have) == sorted(ids_of(only_ours))
    assert sorted(conversation.need) == sorted(ids_of(only_theirs))
    for number, message in enumerate(conversation.messages):
        assert len(message) <= (limits[number % 2] or len(message))


@pytest.mark.parametrize("limits", [(4_096, 4_096), (4_096, 0), (0, 4_096), (8_000, 50_000)])
def test_many_differences_pass_through_small_frames_and_each_is_reported_once(limits: tuple[int, int]) -> None:
    """There are so many that ranges which are done come up again after full messages."""
    keys = random_keys(6_000, per_second=2_000)
    only_ours, only_theirs = keys[0::4], keys[1::4]

    conversation = converse(Index({*keys} - {*only_theirs}), Index({*keys} - {*only_ours}), limits)

    assert sorted(conversation.have) == sorted(ids_of(only_ours))
    assert sorted(conversation.need) == sorted(ids_of(only_theirs))
    for number, message in enumerate(conversation.messages):
        assert len(message) <= (limits[number % 2] or len(message))


@percent(40)  # an example takes 0.02 s, because it has 900 keys
@given(seed=st.integers(0, 2**32), limits=st.sampled_from([(0, 0), (4_096, 4_096)]))
def test_keys_added_during_a_reconciliation_neither_hide_nor_invent_a_difference(
    seed: int, limits: tuple[int, int]
) -> None:
    random = Random(seed)
    keys = random_keys(900, seed + 1)  # with the same seed, the ids added below would repeat these ids at other times
    sides = [Index(random.sample(keys, 850)) for _ in range(2)]
    before = [ids_of(list(side)) for side in sides]
    initiator, responder = Initiator(sides[0], limits[0]), Responder(sides[1], limits[1])
    have: set[bytes] = set()
    need: set[bytes] = set()

    message: bytes | None = initiator.initiate()
    while message is not None:
        sides[1].add(pack_key(random.randrange(1_700_000_000, 1_700_000_300), random.randbytes(32)))
        answer = responder.answer(message)
        sides[0].add(pack_key(random.randrange(1_700_000_000, 1_700_000_300), random.randbytes(32)))
        message, only_ours, only_theirs = initiator.answer(answer)
        have.update(only_ours)
        need.update(only_theirs)

    after = [ids_of(list(side)) for side in sides]
    assert before[0] - before[1] <= have <= after[0] - before[1]
    assert before[1] - before[0] <= need <= after[1] - before[0]


def test_ids_that_the_other_side_lacks_are_looked_up_lazily_and_leave_out_new_keys() -> None:
    """A peer that claims to hold nothing lacks the whole index. A list of a million ids would block the event loop."""
    keys = sorted(random_keys(20_000))
    index = Index(keys[:10_000])
    difference = Initiator(index).answer(ALL_IDS)
    first = [next(difference.have) for _ in range(100)]

    for key in keys[10_000:]:
        index.add(key)

    assert first + list(difference.have) == [key_id(key) for key in keys[:10_000]]


def test_ids_are_looked_up_in_parts_without_a_gap_between_two_parts() -> None:
    keys = sorted(random_keys(3 * _IDS_AT_ONCE))
    shared = [key_id(key) for key in (keys[0], keys[_IDS_AT_ONCE - 1], keys[_IDS_AT_ONCE], keys[-1])]
    message = bytes.fromhex("61 00 00 02 05") + b"".join([*shared, record_id(1)])

    reply, have, need = learned(Initiator(Index(keys)), message)

    assert (reply, need) == (None, [record_id(1)])
    assert have == [key_id(key) for key in keys if key_id(key) not in shared]


# The bytes of messages, written by hand.


def test_an_initiator_that_holds_nothing_sends_an_empty_list_of_ids() -> None:
    assert Initiator(Index()).initiate() == ALL_IDS


def test_few_keys_are_sent_as_ids_in_their_order() -> None:
    index = Index([pack_key(2, record_id(1)), pack_key(1, record_id(2)), pack_key(1, record_id(1, 9))])

    message = Initiator(index).initiate()

    assert message == bytes.fromhex("61 00 00 02 03") + record_id(1, 9) + record_id(2) + record_id(1)


def test_31_keys_are_sent_as_ids_and_32_as_16_fingerprints() -> None:
    # 1,000 + 1 is 7 * 128 + 105. A step of two seconds is written as 3.
    keys = [pack_key(1_000 + number, record_id(number)) for number in range(32)]
    index = Index(keys)

    listed, split = Initiator(Index(keys[:31])).initiate(), Initiator(index).initiate()

    pairs = [index.fingerprint(begin, begin + 2) for begin in range(0, 32, 2)]
    first, last = bytes.fromhex("87 6b 00 01") + pairs[0], bytes.fromhex("00 00 01") + pairs[15]
    assert listed == bytes.fromhex("61 00 00 02 1f") + b"".join(key_id(key) for key in keys[:31])
    assert split == b"\x61" + first + b"".join(bytes.fromhex("03 00 01") + pair for pair in pairs[1:15]) + last


def test_keys_left_over_by_a_split_go_into_the_first_ranges() -> None:
    index = Index([pack_key(1_000 + number, record_id(number)) for number in range(34)])

    message = Initiator(index).initiate()

    ends = [3, 6, *range(8, 34, 2), 34]
    fingerprints = [index.fingerprint(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]
    assert message[5:21] == fingerprints[0]
    assert message[21:24] == bytes.fromhex("04 00 01")
    assert [message[5 + 19 * number :][:16] for number in range(16)] == fingerprints


def test_within_one_second_a_bound_is_the_shortest_prefix_of_an_id_that_separates_two_keys() -> None:
    keys = [pack_key(7, record_id(0xAA, 0xAA, number)) for number in range(30)]
    keys += [pack_key(7, record_id(0xAB)), pack_key(7, record_id(0xAC))]
    index = Index(keys)

    message = Initiator(index).initiate()

    assert message.startswith(
        bytes.fromhex("61 08 03 aaaa02 01") + index.fingerprint(0, 2) + bytes.fromhex("01 03 aaaa04")
    )
    assert message.endswith(
        bytes.fromhex("01 01 ab 01") + index.fingerprint(28, 30) + bytes.fromhex("00 00 01") + index.fingerprint(30)
    )


def test_equal_ranges_in_a_row_become_one_skip_and_at_the_end_are_left_out() -> None:
    index = Index([pack_key(second, record_id(second)) for second in (1, 2, 3, 4, 5)])
    same = [index.fingerprint(rank, rank + 1) for rank in range(5)]
    ranges = [
        bytes.fromhex("03 00 01") + same[0],
        bytes.fromhex("02 00 01") + same[1],
        bytes.fromhex("02 00 01") + bytes(16),
        bytes.fromhex("02 00 01") + same[3],
        bytes.fromhex("00 00 01") + same[4],
    ]

    answer = Responder(index).answer(b"\x61" + b"".join(ranges))

    assert answer == bytes.fromhex("61 04 00 00 02 00 02 01") + record_id(3)


def test_a_bound_is_sent_back_exactly_as_it_came() -> None:
    """Zeros at the end of an id prefix mean nothing, but the other side chose to send them."""
    index = Index([pack_key(5, record_id(1)), pack_key(5, record_id(9))])

    answer = Responder(index).answer(bytes.fromhex("61 06 03 080000 02 00 00 00 00"))

    assert answer == bytes.fromhex("61 06 03 080000 02 01") + record_id(1)


@pytest.mark.parametrize("ranges", ["", "00 00 00", "05 00 00", "05 00 00 00 00 00"])
def test_a_message_without_open_ranges_is_answered_with_the_version_byte(ranges: str) -> None:
    index = Index(random_keys(100))

    assert Responder(index).answer(bytes.fromhex("61" + ranges)) == b"\x61"


def test_a_message_without_ranges_ends_the_reconciliation() -> None:
    assert learned(Initiator(Index(random_keys(100))), b"\x61") == (None, [], [])


@pytest.mark.parametrize("message", ["60", "60 00 00 02 00", "62", "62 ff ff ff", "6f"])
def test_a_responder_answers_another_version_with_its_own_version_byte(message: str) -> None:
    assert Responder(Index(random_keys(10))).answer(bytes.fromhex(message)) == b"\x61"


def test_repeated_ids_are_compared_once() -> None:
    index = Index([pack_key(1, record_id(1)), pack_key(1, record_id(2))])
    message = bytes.fromhex("61 00 00 02 05") + b"".join(map(record_id, [3, 1, 3, 1, 4]))

    assert learned(Initiator(index), message) == (None, [record_id(2)], [record_id(3), record_id(4)])


def test_a_bound_may_be_written_with_zeros_and_then_without() -> None:
    """Other implementations pad some bounds with zeros and others not."""
    ranges = bytes.fromhex("00 20") + bytes(32) + bytes.fromhex("00 00 00 02 00")

    answer = Responder(Index([pack_key(5, record_id(1))])).answer(b"\x61" + ranges)

    assert answer == b"\x61" + bytes.fromhex("00 20") + bytes(32) + bytes.fromhex("00 00 00 02 00")


def test_a_second_range_up_to_infinity_is_empty() -> None:
    """The reference implementations end a full message like this if its last list reached infinity."""
    index = Index([pack_key(1, record_id(1))])

    answer = Responder(index).answer(ALL_IDS + bytes.fromhex("00 00 02 00  8100 00 02 00"))

    assert answer == bytes.fromhex("61 00 00 02 01") + record_id(1) + bytes.fromhex("00 00 02 00  00 00 02 00")


# Full frames.


def test_a_list_of_ids_ends_where_the_frame_is_full_and_a_fingerprint_covers_the_rest() -> None:
    index = Index(random_keys(1_000))

    answer = Responder(index, frame_bytes_max=4_096).answer(ALL_IDS)

    # One byte for the version and 32 for each id: the 122nd id is the first past 4,096 - 200 bytes.
    listed = index.ids(0, 122)
    bound = encode_varint(1 + 1_700_000_040) + b"\x20" + key_id(index.key_at(122))
    remaining = bytes.fromhex("00 00 01") + index.fingerprint(122)
    assert answer == b"\x61" + bound + b"\x02\x7a" + b"".join(listed) + remaining


def filling_all_but_a_last_range(index: Index, last: bytes) -> bytes:
    """A message with an empty list for each key, so that its answer fills 4,096 bytes, and then one more range."""
    ranges = [encode_varint(1 + index_timestamp(index, 1)) + bytes.fromhex("00 02 00")]
    ranges += [bytes.fromhex("02 00 02 00")] * 107
    return b"\x61" + b"".join(ranges) + last


def index_timestamp(index: Index, rank: int) -> int:
    return int.from_bytes(index.key_at(rank)[:8], "big")


def test_a_split_that_does_not_fit_is_left_to_the_next_round() -> None:
    index = Index(random_keys(1_000, per_second=1))
    message = filling_all_but_a_last_range(index, bytes.fromhex("00 00 01") + bytes(16))

    answer = Responder(index, frame_bytes_max=4_096).answer(message)

    assert 4_096 - 200 - 16 * 19 < len(answer) < 4_096 - 150
    assert answer.endswith(bytes.fromhex("00 00 01") + Index().fingerprint())


def test_a_range_that_is_empty_on_the_other_side_is_not_lost_when_the_frame_is_full() -> None:
    """No key follows the range. The fingerprint of no keys would equal theirs, and the difference would be lost."""
    index = Index(random_keys(1_000, per_second=1))
    message = filling_all_but_a_last_range(index, bytes.fromhex("00 00 01") + Index().fingerprint())

    answer = Responder(index, frame_bytes_max=4_096).answer(message)

    assert answer.endswith(bytes.fromhex("00 00 01") + index.fingerprint(108))


def test_the_limit_on_frames_is_at_least_4096_bytes() -> None:
    with pytest.raises(AssertionError):
        Initiator(Index(), frame_bytes_max=4_095).initiate()

    assert Initiator(Index(), frame_bytes_max=4_096).initiate() == ALL_IDS


# Hostile messages.

MALFORMED = [
    ("", "not a Negentropy message: it starts with a version byte from 0x60 to 0x6f"),
    ("5f", "not a Negentropy message: it starts with a version byte from 0x60 to 0x6f"),
    ("70", "not a Negentropy message: it starts with a version byte from 0x60 to 0x6f"),
    ("61 00", "the message ends inside a varint"),
    ("61 81", "the message ends inside a varint"),
    ("61 8001", "the varint at byte 1 has a leading zero digit"),
    ("61 00 00", "the message ends inside a varint"),
    ("61 02 03 aabb", "the message ends where 3 bytes are due at byte 3"),
    ("61 02 21" + "00" * 33, "a bound has 33 bytes of an id: ids have 32"),
    ("61 00 00 03", "a range has mode 3: there are 0 to 2"),
    ("61 00 00 ff7f", "a range has mode 16383: there are 0 to 2"),
    ("61 00 00 01" + "00" * 15, "the message ends where 16 bytes are due at byte 4"),
    ("61 00 00 02 02" + "00" * 63, "the message ends where 64 bytes are due at byte 5"),
    ("61 00 00 02 81ffffffffffffffff7f", "the message ends where 590295810358705651680 bytes are due at byte 14"),
    ("61 02 01 05 00 01 01 04 00", "the bound before byte 8 is below the one before it"),
    ("61 00 01 05 00 00 00 00", "the bound before byte 7 is below the one before it"),
]


@pytest.mark.parametrize(("message", "detail"), MALFORMED)
def test_both_sides_refuse_a_malformed_message(message: str, detail: str) -> None:
    index = Index(random_keys(100))

    for side in (Initiator(index), Responder(index)):
        with pytest.raises(ProtocolError) as caught:
            side.answer(bytes.fromhex(message))
        assert (caught.value.code, caught.value.detail) == (Code.MALFORMED, detail)


def test_an_initiator_refuses_another_version() -> None:
    with pytest.raises(ProtocolError, match="malformed: Negentropy version byte 0x62: we asked in 0x61"):
        Initiator(Index()).answer(b"\x62")


INDEX = Index(random_keys(2_000))
REAL_MESSAGES = converse(INDEX, Index(random_keys(2_100)[::2]), (4_096, 4_096)).messages


@given(data=st.data())
def test_a_damaged_message_is_answered_or_malformed(data: st.DataObject) -> None:
    message = bytearray(data.draw(st.sampled_from(REAL_MESSAGES)))
    for _ in range(data.draw(st.integers(1, 4))):
        begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(message))] * 2)))
        replaced = data.draw(st.sampled_from([begin, begin + 1, end]))
        message[begin:replaced] = data.draw(st.binary(max_size=4) | st.just(bytes(message[begin:end])))

    for side in (Initiator(INDEX, 4_096), Responder(INDEX, 4_096)):
        assert answers_or_refuses(side, bytes(message))


@given(ranges=st.binary())
def test_any_bytes_are_answered_or_malformed(ranges: bytes) -> None:
    for side in (Initiator(INDEX, 4_096), Responder(INDEX, 4_096)):
        assert answers_or_refuses(side, b"\x61" + ranges)


def answers_or_refuses(side: Initiator | Responder, message: bytes) -> bool:
    """Whether the side answers within its limit or refuses the message as malformed. Any other error is let through."""
    try:
        answer = side.answer(message)
    except ProtocolError as error:
        return error.code == Code.MALFORMED
    reply = answer.reply if isinstance(answer, Difference) else answer
    return reply is None or len(reply) <= 4_096


def test_an_initiator_gives_up_on_a_responder_that_never_ends() -> None:
    initiator = Initiator(Index(random_keys(100)), rounds_max=3)
    endless = bytes.fromhex("61 00 00 01") + bytes(16)

    replies = [initiator.answer(endless).reply for _ in range(3)]

    assert None not in replies
    with pytest.raises(ProtocolError, match="malformed: the reconciliation does not come to an end"):
        initiator.answer(endless)


def test_an_initiator_remembers_reported_ids_up_to_a_limit() -> None:
    one_past = [number.to_bytes(32, "big") for number in range(REPORTED_MAX + 1)]
    message = bytes.fromhex("61 00 00 02") + encode_varint(len(one_past)) + b"".join(one_past)
    initiator = Initiator(Index())

    first, second = initiator.answer(message), initiator.answer(message)

    assert (first.need, second.need) == (one_past, one_past[-1:])
