"""The keys that a label named: a set that grows at the same cost, however large it is."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.records.named_keys import FEW_KEYS, ManyKeys, kept, named_keys, with_keys

MANY = [f"{number:064x}" for number in range(FEW_KEYS + 2)]
NEW, OTHER = "a" * 64, "b" * 64


def test_few_keys_are_a_frozenset_and_many_are_not() -> None:
    assert isinstance(named_keys(MANY[:FEW_KEYS]), frozenset)
    assert isinstance(named_keys(MANY), ManyKeys)
    assert named_keys(MANY) == frozenset(MANY)


def test_a_set_that_grows_leaves_the_sets_before_it_as_they_were() -> None:
    before = named_keys(MANY)

    after = with_keys(before, [NEW])

    assert (before, after) == (frozenset(MANY), frozenset([*MANY, NEW]))
    assert NEW not in before


def test_two_sets_that_grow_from_the_same_one_do_not_share_their_new_keys() -> None:
    before = named_keys(MANY)

    one, other = with_keys(before, [NEW]), with_keys(before, [OTHER])

    assert (one, other) == (frozenset([*MANY, NEW]), frozenset([*MANY, OTHER]))


def test_keys_that_are_there_give_the_same_set() -> None:
    for named in (named_keys(MANY[:3]), named_keys(MANY)):
        assert with_keys(named, MANY[:2]) is named


def test_what_was_stored_is_not_stored_again() -> None:
    named = named_keys(MANY)
    assert isinstance(named, ManyKeys)
    named.on_stored()

    after = with_keys(named, [NEW])

    assert isinstance(after, ManyKeys)
    assert (after.has_stored, after.unstored()) == (True, [NEW])


def test_a_replay_that_only_adds_keys_keeps_the_set_and_what_is_stored_of_it() -> None:
    before = ManyKeys.of(MANY, stored=len(MANY))

    after = kept(named_keys([NEW, *reversed(MANY)]), before)

    assert isinstance(after, ManyKeys)
    assert (set(after), after.unstored()) == ({*MANY, NEW}, [NEW])


def test_a_replay_that_takes_keys_away_gives_a_set_of_which_nothing_is_stored() -> None:
    before = ManyKeys.of(MANY, stored=len(MANY))

    after = kept(named_keys(MANY[1:]), before)

    assert isinstance(after, ManyKeys)
    assert (set(after), after.has_stored) == (set(MANY[1:]), False)


@given(st.lists(st.tuples(st.integers(0, 9), st.lists(st.sampled_from(MANY), max_size=3)), max_size=20))
def test_any_history_of_growth_gives_the_sets_that_copies_would_give(steps: list[tuple[int, list[str]]]) -> None:
    """Each step goes on from one of the sets so far, which need not be the newest."""
    ours, copies = [ManyKeys.of([])], [set[str]()]
    for origin, keys in steps:
        grown = with_keys(ours[origin % len(ours)], keys)
        assert isinstance(grown, ManyKeys)
        ours.append(grown)
        copies.append(copies[origin % len(copies)].union(keys))

    assert [set(each) for each in ours] == copies
