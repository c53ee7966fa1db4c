"""Figures: what a node's `/metrics` say, read back by name, for whoever watches a node from outside."""

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
        """Raises: ValueError: the text is no exposition."""
        return cls(sample for family in text_string_to_metric_families(text) for sample in family.samples)

    def value(self, name: str, /, **labels: str) -> float | None:
        """The sum of all samples of this name that have these labels, others or not; None: there is none."""
        found = [sample.value for sample in self._samples.get(name, []) if labels.items() <= sample.labels.items()]
        return sum(found) if found else None

    def by(self, label: str, name: str, /, **labels: str) -> dict[str, float]:
        """The values of this name by one of its labels, summed over the others."""
        sums: dict[str, float] = {}
        for sample in self._samples.get(name, []):
            if labels.items() <= sample.labels.items():
                key = sample.labels.get(label, "")
                sums[key] = sums.get(key, 0.0) + sample.value
        return sums
