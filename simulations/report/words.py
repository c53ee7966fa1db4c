"""Figures for people: three digits and a unit."""

from collections.abc import Sequence
from math import ceil

MINUTE_S = 60
HOUR_S = 3600


def seconds(value: float | None) -> str:
    """A span of time, given in seconds."""
    if value is None:
        return "–"
    if value < 1:
        return f"{value * 1000:.3g} ms" if value < 0.9995 else "1 s"
    if value < 2 * MINUTE_S:
        return f"{value:.3g} s"
    if value < 2 * HOUR_S:
        return f"{value / MINUTE_S:.3g} min"
    return f"{value / HOUR_S:,.3g} h"


def size(value: float) -> str:
    """A number of bytes, in units by powers of ten."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"


def count(number: float, one: str, many: str | None = None) -> str:
    """A number of things, in the singular or the plural."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def quantile(values: Sequence[float], share: float) -> float | None:
    """The lowest of the values, in rising order, that this share of them does not exceed. None if there are
    no values.
    """
    return values[max(0, ceil(share * len(values)) - 1)] if values else None
