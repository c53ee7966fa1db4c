"""Many rows in few statements, of few different sizes."""

import pytest

from node.store.sqlite.statements import chunks, places


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (0, []),
        (1, [1]),
        (7, [7]),
        (16, [16]),
        (17, [16, 1]),
        (63, [32, 16, 15]),
        (1_000, [512, 256, 128, 64, 32, 8]),
        (2_050, [1_024, 1_024, 2]),
    ],
)
def test_a_few_rows_are_one_statement_and_many_rows_are_statements_of_few_sizes(count: int, sizes: list[int]) -> None:
    """A statement for each number of rows would have to be compiled anew nearly each time."""
    rows = [(number,) for number in range(count)]

    runs = list(chunks(rows))

    assert [len(run) for run in runs] == sizes
    assert [row for run in runs for row in run] == rows


def test_there_is_a_place_for_each_value_of_each_row() -> None:
    assert places([(1, 2), (3, 4), (5, 6)]) == "(?, ?), (?, ?), (?, ?)"
