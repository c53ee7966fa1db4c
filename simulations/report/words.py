"""Figures as a person reads them: two or three digits and a unit."""

from collections.abc import Sequence
from math import ceil

MINUTE_S = 60
HOUR_S = 3600


def seconds(value: float | None) -> str:
    """A span of time."""
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
    """Bytes, in powers of ten."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"


def count(number: float, one: str, many: str | None = None) -> str:
    """So many of something."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def quantile(values: Sequence[float], share: float) -> float | None:
    """The least value that this share does not exceed, of values in rising order; None where there are none."""
    return values[max(0, ceil(share * len(values)) - 1)] if values else None
