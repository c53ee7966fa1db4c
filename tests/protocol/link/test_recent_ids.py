"""A set that forgets."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.link.recent_ids import RecentIds


@given(st.lists(st.integers(0, 30).map(str), max_size=100), st.integers(2, 20))
def test_it_never_grows_past_its_limit_and_keeps_the_newest_half(ids: list[str], size_max: int) -> None:
    remembered = RecentIds(size_max)

    for record_id in ids:
        remembered.add(record_id)

    newest = ids[-(size_max // 2) :]
    assert len(remembered) <= size_max
    assert all(record_id in remembered for record_id in newest)
    assert not any(record_id in remembered for record_id in ("31", "x"))


def test_what_is_removed_is_forgotten_wherever_it_is() -> None:
    remembered = RecentIds(4)
    for record_id in "abcd":
        remembered.add(record_id)

    remembered.remove("a")
    remembered.remove("d")
    remembered.remove("never there")

    assert [record_id in remembered for record_id in "abcd"] == [False, True, True, False]


def test_what_is_cleared_is_forgotten_all_of_it() -> None:
    remembered = RecentIds(4)
    for record_id in ("a", "b", "c"):
        remembered.add(record_id)

    remembered.clear()

    assert len(remembered) == 0
    assert "a" not in remembered
