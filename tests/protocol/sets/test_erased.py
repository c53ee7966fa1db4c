"""Erased records between two nodes: sets that differ only by them count as the same."""

from itertools import count

import pytest

from protocol.sets.erased import RECHECKED_MAX, ErasedKeys
from protocol.sets.index import Index, key_id, pack_key

KEYS = [pack_key(at, bytes([at]) * 32) for at in range(1, 10)]
IDS = [key_id(key).hex() for key in KEYS]
DOMAIN = "example"


def fingerprint(*places: int) -> str:
    return index(*places).fingerprint().hex()


def index(*places: int) -> Index:
    return Index(KEYS[at] for at in places)


@pytest.mark.parametrize(
    ("ours", "theirs", "is_same"),
    [
        ((0, 1, 2, 3), (0, 1, 2, 3), True),
        ((0, 1, 2, 3), (0, 1, 4, 5), True),
        ((0, 1, 2, 3, 4, 5), (0, 1, 4, 5), True),
        ((0, 1, 2, 3, 4), (0, 1, 4, 5), True),
        ((0, 1, 2, 3), (0, 1, 2, 3, 4, 5), True),
        ((0, 1, 2, 3), (0, 1), True),
        ((0, 1, 2, 3), (0, 1, 4), False),
        ((0, 1, 2, 3), (0, 4, 5), False),
        ((0, 1, 2, 3), (0, 1, 4, 5, 6), False),
        ((0,), (0, 4, 5), True),
        ((0,), (1,), False),
        ((), (0,), False),
    ],
)
def test_sets_are_the_same_up_to_records_that_one_side_erased(
    ours: tuple[int, ...], theirs: tuple[int, ...], is_same: bool
) -> None:
    """This node erased 2 and 3, which the peer lacks. The peer erased 4 and 5."""
    erased = ErasedKeys()
    erased.note_here(DOMAIN, KEYS[2:4])
    erased.note_there(DOMAIN, KEYS[4:6])

    assert erased.is_same(DOMAIN, index(*ours), fingerprint(*theirs)) is is_same
    assert erased.is_same("other", index(*ours), fingerprint(*theirs)) is (ours == theirs)


def test_what_both_hold_is_forgotten() -> None:
    erased = ErasedKeys()
    erased.note_there(DOMAIN, KEYS[:3])
    erased.note_here(DOMAIN, KEYS[3:5])

    erased.forget(DOMAIN, [IDS[0], IDS[3], IDS[8]])

    assert (erased.there(DOMAIN), erased.here(DOMAIN), len(erased)) == (frozenset(IDS[1:3]), frozenset({IDS[4]}), 3)


def test_only_so_many_keys_are_remembered() -> None:
    erased = ErasedKeys(keys_max=2)

    erased.note_there(DOMAIN, KEYS[:1])
    erased.note_there(DOMAIN, KEYS[:3])
    erased.note_here(DOMAIN, KEYS[3:5])

    assert (erased.there(DOMAIN), erased.here(DOMAIN), len(erased)) == (frozenset(IDS[:2]), frozenset(), 2)


class CountingIndex(Index):
    """An index that counts how often a key was looked up."""

    looked_up = 0

    def __contains__(self, key: bytes) -> bool:
        self.looked_up += 1
        return super().__contains__(key)


def many(number: int) -> list[bytes]:
    return [pack_key(at, at.to_bytes(32)) for at in range(number)]


def test_a_comparison_looks_up_a_limited_number_of_keys() -> None:
    """A peer can name 100,000 keys, and then cause comparisons with few bytes."""
    erased, ours = ErasedKeys(), CountingIndex()
    erased.note_there(DOMAIN, many(3 * RECHECKED_MAX))

    assert not erased.is_same(DOMAIN, ours, fingerprint(0))
    assert ours.looked_up == RECHECKED_MAX


def test_records_that_came_since_are_found_within_some_comparisons() -> None:
    erased, keys = ErasedKeys(), many(3 * RECHECKED_MAX)
    erased.note_there(DOMAIN, keys)
    ours, theirs = Index(keys[::2]), Index(keys).fingerprint().hex()

    assert next(calls for calls in count(1) if erased.is_same(DOMAIN, ours, theirs)) <= 3
