"""Tables that benchmarks write into a page, each between two markers of its own: `<!-- NAME: begin -->` and `end`."""

import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.common import report


def write(page: Path, name: str, text: str) -> None:
    """Replace what stands between the two markers of this name."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    before, first, rest = page.read_text().partition(begin)
    _, second, after = rest.partition(end)
    assert (first, second) == (begin, end), f"{page} has the markers {begin.strip()} and {end.strip()}, in this order"
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def markdown(rows: Iterable[Sequence[str]]) -> str:
    """A table, whose first row is its head."""
    head, *others = rows
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ["---"] * len(head), *others))


def occasion() -> str:
    """The date, the commit and the machine of a measurement."""
    about = ", ".join(f"{name} {value}" for name, value in report.machine().items())
    return f"{time.strftime('%-d %B %Y')}, commit {_commit()}, {about}"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return done.stdout.strip() or "unknown"
