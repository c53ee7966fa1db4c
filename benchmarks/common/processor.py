"""The processor time that a process uses, by thread: on a busy machine it says more than the time on the clock.

`main` is the thread of the event loop. `verifying` are the child processes that check signatures. `other` are all
further threads: they write and read SQLite, and check signatures while no process does.
"""

from pathlib import Path
from typing import NamedTuple


class Spent(NamedTuple):
    """Seconds of processor time."""

    main: float
    other: float
    verifying: float

    @property
    def all(self) -> float:
        return sum(self)

    def since(self, begun: "Spent") -> "Spent":
        return Spent(*(now - before for now, before in zip(self, begun, strict=True)))

    def us_each(self, count: int) -> "Spent":
        """Microseconds for each of this many records or requests."""
        return Spent(*(seconds / count * 1e6 for seconds in self))


def spent(pid: int) -> Spent:
    """What the process and its children used since they began."""
    tasks = Path(f"/proc/{pid}/task")
    threads = {int(each.name): _seconds(each) for each in tasks.iterdir()}
    children = [int(child) for each in tasks.iterdir() for child in (each / "children").read_text().split()]
    main = threads.pop(pid)
    return Spent(main, sum(threads.values()), sum(map(_process_s, children)))


def _process_s(pid: int) -> float:
    return sum(map(_seconds, Path(f"/proc/{pid}/task").iterdir()))


def _seconds(task: Path) -> float:
    """The processor time of one thread: the first field of `schedstat`, in nanoseconds. `stat` counts in 10 ms."""
    return int((task / "schedstat").read_text().split()[0]) / 1e9
