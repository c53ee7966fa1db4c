"""Steps: long work as a generator, so that whoever runs it may do other things between two steps.

Nothing here knows the time. The work pauses after each step, and the caller decides when to go on.
"""

from collections.abc import Generator
from typing import TypeVar

_T = TypeVar("_T")

Steps = Generator[None, None, _T]
"""Work in steps: it yields after each step, and returns its result."""


def finish(steps: Steps[_T]) -> _T:
    """Do all steps at once; returns the result."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: _T = stop.value
            return result
