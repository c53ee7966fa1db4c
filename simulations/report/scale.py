"""Axes: the place of a value on an axis, and which values are written beside the axis."""

import math
from collections.abc import Callable

import msgspec

_TICKS_WANTED = 5
_TICKS_MIN = 3


class Axis(msgspec.Struct, frozen=True):
    """An axis from `low` to `high`. `is_log`: by powers of ten, else evenly. `is_whole`: it counts things, so ticks are
    whole numbers. `write`: turns a value into text.
    """

    name: str
    low: float
    high: float
    is_log: bool = False
    is_whole: bool = False
    write: Callable[[float], str] = "{:,.4g}".format

    def place(self, value: float) -> float:
        """The place of a value along the axis, from 0 to 1. A value outside of the axis gets the nearest end."""
        if self.high <= self.low:
            return 0.0
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.is_log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return (at - low) / (high - low)

    def ticks(self) -> list[float]:
        """Round values on the axis, in rising order."""
        return self._log_ticks() if self.is_log else self._even_ticks()

    def _even_ticks(self) -> list[float]:
        raw = (self.high - self.low) / _TICKS_WANTED or 1.0
        power: float = 10.0 ** math.floor(math.log10(raw))
        step = next(power * it for it in (1, 2, 5, 10) if power * it >= raw * 0.999)
        if self.is_whole:
            step = max(1.0, step)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(number * step, 9) for number in range(first, last + 1)]

    def _log_ticks(self) -> list[float]:
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        steps = (1, 2, 5) if len(decades) <= _TICKS_WANTED - 1 else (1,)
        values = [step * 10.0**decade for decade in decades for step in steps]
        found = [it for it in values if self.low * 0.999 <= it <= self.high * 1.001]
        return found if len(found) >= _TICKS_MIN else self._even_ticks()


def time_axis(high_s: float, name: str = "time since the run began") -> Axis:
    """An axis of seconds, from 0."""
    return Axis(name, 0.0, max(high_s, 0.001), write=lambda value: f"{value:,.4g} s")


def count_axis(name: str, high: float, low: float = 0.0) -> Axis:
    """An axis that counts things."""
    return Axis(name, low, max(high, low + 1), is_whole=True)
