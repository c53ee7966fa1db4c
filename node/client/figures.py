"""Figures: the samples of a node's `/metrics`, found by name, for programs that watch a node from outside."""

from collections.abc import Iterable
from typing import Self

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


class Figures:
    """The samples of one scrape, by name."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples: dict[str, list[Sample]] = {}
        for sample in samples:
            self._samples.setdefault(sample.name, []).append(sample)

    @classmethod
    def read(cls, text: str) -> Self:
        """Read the text of `/metrics`. Raises: ValueError: the text is not in this form."""
        return cls(sample for family in text_string_to_metric_families(text) for sample in family.samples)

    def value(self, name: str, /, **labels: str) -> float | None:
        """The sum of all samples of this name that have at least these labels; None if no sample has them."""
        found = [sample.value for sample in self._samples.get(name, []) if labels.items() <= sample.labels.items()]
        return sum(found) if found else None

    def by(self, label: str, name: str, /, **labels: str) -> dict[str, float]:
        """The values of this name by one of its labels. Samples that differ in other labels are added up."""
        sums: dict[str, float] = {}
        for sample in self._samples.get(name, []):
            if labels.items() <= sample.labels.items():
                key = sample.labels.get(label, "")
                sums[key] = sums.get(key, 0.0) + sample.value
        return sums
