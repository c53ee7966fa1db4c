"""The samples of `/metrics`, read and found by name."""

import pytest

from node.client.figures import Figures

TEXT = """\
# TYPE a counter
a_total{x="1",y="1"} 1
a_total{x="1",y="2"} 2
a_total{x="2",y="1"} 4
b 0
"""


def test_a_value_is_the_sum_of_all_samples_with_its_labels() -> None:
    figures = Figures.read(TEXT)

    assert figures.value("a_total", x="1", y="2") == 2
    assert figures.value("a_total", x="1") == 3
    assert figures.value("a_total") == 7
    assert figures.value("b") == 0
    assert (figures.value("c"), figures.value("a_total", x="3")) == (None, None)


def test_values_are_grouped_by_a_label() -> None:
    figures = Figures.read(TEXT)

    assert figures.by("x", "a_total") == {"1": 3, "2": 4}
    assert figures.by("x", "a_total", y="1") == {"1": 1, "2": 4}
    assert figures.by("x", "c") == {}


def test_text_that_holds_no_metrics_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        Figures.read("<html>nonsense</html>")
