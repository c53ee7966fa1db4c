"""A long message of negentropy is answered in pieces, and the set may change between two of them."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Code, ProtocolError
from protocol.sets.index import Index, pack_key
from protocol.sets.negentropy import PIECE_COST, Initiator, Responder
from protocol.steps import Steps
from tests.examples import percent
from tests.protocol.sets.keys import ids_of, random_keys, record_id


def pieces(steps: Steps[bytes], on_pause: Callable[[], object] = lambda: None) -> tuple[bytes, int]:
    """The result of some work, and the number of pauses in it."""
    pauses = 0
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value, pauses
        pauses += 1
        on_pause()


def empty_ranges(count: int) -> bytes:
    """A message of so many ranges in which the sender holds nothing, all before the first key."""
    return b"\x61" + bytes.fromhex("01 00 02 00") * count


def test_a_long_message_is_answered_in_pieces_with_the_same_answer() -> None:
    responder = Responder(Index(random_keys(1_000)), 65_536)
    message = empty_ranges(4 * PIECE_COST)

    answer, pauses = pieces(responder.steps(message))

    assert answer == responder.answer(message)
    assert pauses == 4


@percent(10)  # an example takes 0.2 s, because it has 2,000 keys and 7 pauses or more
@given(st.integers(0, 2**32), st.sampled_from((0, 4_096)))
def test_keys_that_are_added_between_two_pieces_hide_no_difference(seed: int, frame_bytes_max: int) -> None:
    """Ranks move when keys are added, and a range is begun where the last one ended."""
    random = Random(f"not the seed {seed} of the keys")
    keys = random_keys(2_000, seed)
    ours, theirs = ([key for key in keys if random.random() < 0.9] for _ in range(2))
    late = [pack_key(random.randrange(1_700_000_000, 1_700_000_700), random.randbytes(32)) for _ in range(200)]
    index = Index(theirs)
    initiator, responder = Initiator(Index(ours), frame_bytes_max), Responder(index, frame_bytes_max)
    have, need = set[bytes](), set[bytes]()

    message: bytes | None = initiator.initiate()
    while message is not None:
        answer, _ = pieces(responder.steps(message), lambda: late and index.add(late.pop()))
        message, only_ours, only_theirs = initiator.answer(answer)
        have.update(only_ours)
        need.update(only_theirs)

    assert have == ids_of(ours) - ids_of(theirs)
    assert need >= ids_of(theirs) - ids_of(ours)


def test_a_key_that_is_added_in_a_pause_below_the_next_range_does_not_move_that_range() -> None:
    index = Index([pack_key(10, record_id(1)), pack_key(20, record_id(2))])
    up_to_15, to_infinity = bytes.fromhex("10 00 02 00"), bytes.fromhex("00 00 02 00")
    again_up_to_15 = bytes.fromhex("01 00 02 00")
    message = b"\x61" + up_to_15 + again_up_to_15 * (PIECE_COST - 1) + to_infinity

    answer, pauses = pieces(Responder(index).steps(message), lambda: index.add(pack_key(5, record_id(3))))

    assert pauses == 1
    assert answer.endswith(bytes.fromhex("00 00 02 01") + record_id(2))


def test_a_message_may_have_as_many_ranges_as_the_limit_and_not_one_more() -> None:
    side = Responder(Index(random_keys(10)))

    answer, _ = pieces(side.steps(empty_ranges(100), 100))
    with pytest.raises(ProtocolError) as refused:
        pieces(side.steps(empty_ranges(101), 100))

    assert answer == side.answer(empty_ranges(100))
    assert refused.value.code is Code.MALFORMED
