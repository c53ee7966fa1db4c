"""Progress bars with a rate, on stderr. Only a terminal shows them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from node.console.visible_text import safe

if TYPE_CHECKING:
    from rich.progress import Progress

Advance = Callable[[int], None]
Show = Callable[[int, int], None]

STEP: Final = 500
"""Records between two steps of a bar, because to draw a bar takes longer than most work for one record."""


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Advance]:
    """Show a bar during the block. Yields a function that takes the size of each step. `total` None: unknown."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with _bar() as bar:
        task = bar.add_task(what, total=total, rate="")

        def advance(steps: int) -> None:
            bar.advance(task, steps)
            speed = bar.tasks[0].speed
            bar.update(task, rate="" if speed is None else f"{speed:,.0f}/s")

        yield advance


@contextmanager
def gauge(what: str) -> Iterator[Show]:
    """Show a bar during the block. Yields a function that takes the done part and the total. A total of 0 hides it."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    with _bar() as bar:
        task = bar.add_task(what, total=None, rate="", visible=False)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, visible=total > 0)
            speed = bar.tasks[0].speed
            bar.update(task, rate="" if speed is None else f"{speed:,.0f}/s")

        yield show


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show during the block that it goes on, where nobody knows how far it is."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(safe(what)):
        yield


def _bar() -> "Progress":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)
