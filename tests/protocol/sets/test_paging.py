"""Which records one of two nodes lacks, and how far a cursor moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import TRANSIENT, Code
from protocol.sets.index import ID_BYTES, Index, key_timestamp, pack_key
from protocol.sets.paging import FIRST, Pass, after, before, fingerprint_of_second, lacking, pages_of

PERMANENT = sorted(set(Code) - TRANSIENT)

timestamps = st.integers(1, 5)
keys = st.builds(pack_key, timestamps, st.binary(min_size=1, max_size=1).map(lambda byte: byte.rjust(ID_BYTES, b"\0")))
key_sets = st.frozensets(keys, max_size=30)


@pytest.mark.parametrize("refusal", [None, *PERMANENT])
def test_a_cursor_moves_past_records_accepted_or_refused_for_good(refusal: Code | None) -> None:
    current_pass = Pass(3)

    current_pass.step(5, refusal)

    assert (current_pass.through, current_pass.is_held) == (5, False)


@pytest.mark.parametrize("refusal", sorted(TRANSIENT))
def test_a_cursor_never_moves_past_a_record_refused_for_now(refusal: Code) -> None:
    current_pass = Pass(3)

    for timestamp, code in ((5, None), (7, refusal), (8, None)):
        current_pass.step(timestamp, code)

    assert (current_pass.through, current_pass.is_held) == (5, True)


def test_a_cursor_stays_below_a_second_with_one_record_refused_for_now() -> None:
    current_pass = Pass(3)

    current_pass.step(7, None)
    current_pass.step(7, Code.TOO_NEW)

    assert current_pass.through == 6


@given(st.lists(st.tuples(timestamps, st.sampled_from([None, *Code]))), st.integers(0, 5))
def test_a_cursor_is_below_every_record_that_the_next_pass_must_offer_again(
    results: list[tuple[int, Code | None]], begin: int
) -> None:
    current_pass = Pass(begin)

    for timestamp, refusal in sorted(results, key=lambda result: result[0]):
        current_pass.step(timestamp, refusal)

    assert all(current_pass.through < timestamp for timestamp, refusal in results if refusal in TRANSIENT)


def test_a_cursor_is_never_stored_ahead_of_the_clock() -> None:
    current_pass = Pass(0)

    current_pass.step(1_000, None)

    assert (current_pass.cursor(900.5), current_pass.cursor(1_100.5)) == (900, 1_000)


@given(key_sets, timestamps, st.integers(1, 4))
def test_a_walk_from_a_timestamp_includes_all_keys_of_that_timestamp(
    held: frozenset[bytes], timestamp: int, page_keys: int
) -> None:
    pages = list(pages_of(Index(held), before(timestamp), None, page_keys))

    assert [key for page in pages for key in page] == sorted(key for key in held if key_timestamp(key) >= timestamp)
    assert all(1 <= len(page) <= page_keys for page in pages)


@given(key_sets, timestamps)
def test_the_bound_after_a_timestamp_is_above_all_keys_of_that_timestamp(
    held: frozenset[bytes], timestamp: int
) -> None:
    assert {key for key in held if key > after(timestamp)} == {key for key in held if key_timestamp(key) > timestamp}


@given(key_sets, keys, keys, st.integers(1, 4))
def test_a_walk_excludes_its_begin_and_includes_its_end(
    held: frozenset[bytes], begin: bytes, end: bytes, page_keys: int
) -> None:
    walked = [key for page in pages_of(Index(held), begin, end, page_keys) for key in page]

    assert walked == sorted(key for key in held if begin < key <= end)


def test_a_walk_reads_keys_that_are_added_ahead_of_it() -> None:
    first, second, third = (pack_key(timestamp, bytes(ID_BYTES)) for timestamp in (1, 2, 3))
    index = Index([first, third])
    pages = pages_of(index, FIRST, None, 1)

    begun = next(pages)
    index.add(second)

    assert [begun, *pages] == [[first], [second], [third]]


@given(key_sets, key_sets, st.integers(1, 4))
def test_a_comparison_page_by_page_finds_exactly_the_keys_that_each_side_lacks(
    ours: frozenset[bytes], theirs: frozenset[bytes], page_keys: int
) -> None:
    index, to_fetch, to_send, last = Index(ours), [], [], FIRST

    for page in pages_of(Index(theirs), FIRST, None, page_keys):
        to_fetch += lacking(page, index)
        to_send += [
            key for part in pages_of(index, last, page[-1], page_keys) for key in lacking(part, frozenset(page))
        ]
        last = page[-1]
    to_send += [key for part in pages_of(index, last, None, page_keys) for key in part]

    assert (to_fetch, to_send) == (sorted(theirs - ours), sorted(ours - theirs))


def test_the_fingerprint_of_a_second_covers_exactly_the_keys_of_that_second() -> None:
    keys = sorted(pack_key(second, bytes([number]) * ID_BYTES) for second in (6, 7, 8) for number in (0, 9, 255))
    index = Index(keys)

    assert fingerprint_of_second(index, 7) == Index(keys[3:6]).fingerprint().hex()
    assert fingerprint_of_second(index, 7, end=5) == Index(keys[3:5]).fingerprint().hex()
    assert [fingerprint_of_second(index, 7, end=3), fingerprint_of_second(index, 9)] == [None, None]
