"""A set that forgets its oldest ids."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.link.recent_ids import RecentIds


@given(st.lists(st.integers(0, 30).map(str), max_size=100), st.integers(2, 20))
def test_a_set_never_grows_past_its_limit_and_keeps_the_newest_half(ids: list[str], size_max: int) -> None:
    recent = RecentIds(size_max)

    for record_id in ids:
        recent.add(record_id)

    newest = ids[-(size_max // 2) :]
    assert len(recent) <= size_max
    assert all(record_id in recent for record_id in newest)
    assert not any(record_id in recent for record_id in ("31", "x"))


@given(st.lists(st.lists(st.integers(0, 30).map(str), max_size=40), max_size=8), st.integers(2, 20))
def test_ids_that_are_added_together_are_kept_as_if_added_one_after_the_other(
    frames: list[list[str]], size_max: int
) -> None:
    together, alone = RecentIds(size_max), RecentIds(size_max)

    for frame in frames:
        together.update(frame)
        for record_id in frame:
            alone.add(record_id)

    every_id = [str(number) for number in range(31)]
    assert together.without(every_id) == alone.without(every_id)
    assert together.without(every_id) == [record_id for record_id in every_id if record_id not in together]


def test_a_removed_id_is_forgotten_in_either_half() -> None:
    recent = RecentIds(4)
    for record_id in "abcd":
        recent.add(record_id)

    recent.remove("a")
    recent.remove("d")
    recent.remove("never there")

    assert [record_id in recent for record_id in "abcd"] == [False, True, True, False]


def test_a_cleared_set_is_empty() -> None:
    recent = RecentIds(4)
    for record_id in ("a", "b", "c"):
        recent.add(record_id)

    recent.clear()

    assert len(recent) == 0
    assert "a" not in recent
