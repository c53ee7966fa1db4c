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
