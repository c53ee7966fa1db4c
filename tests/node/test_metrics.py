"""The plain counters that every part of a node may keep."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from node.metrics import SECONDS, Histogram


def test_a_value_counts_in_the_bucket_of_its_bound_and_in_all_buckets_above() -> None:
    histogram = Histogram((1, 2, 4))

    for value in (0.5, 1, 2, 3, 9):
        histogram.observe(value)

    assert list(histogram.buckets()) == [(1, 2), (2, 3), (4, 4), (inf, 5)]
    assert histogram.total == 15.5


@given(st.lists(st.floats(0, 100)))
def test_a_bucket_holds_all_values_up_to_its_bound(values: list[float]) -> None:
    histogram = Histogram(SECONDS)

    for value in values:
        histogram.observe(value)

    assert list(histogram.buckets()) == [(bound, sum(value <= bound for value in values)) for bound in (*SECONDS, inf)]
