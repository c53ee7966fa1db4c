"""What an import did: counts for all lines, and the first bad lines with their numbers."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from node.cli.input.entries import EntryLine
from node.cli.output.screen import table, warn
from node.cli.output.text import plain, short

if TYPE_CHECKING:
    from rich.console import RenderableType

FAULTS_SHOWN_MAX: Final = 20
SKIPPED_SHOWN_MAX: Final = 20


class ImportReport:
    """Counts that grow while an import runs. EntryLine `first_line` is the first line of this run."""

    def __init__(self) -> None:
        self.first_line = 1
        self.through = 0
        """The last line that the node has answered."""
        self.lines = 0
        """The lines of this run up to `through`."""
        self.faults = 0
        self._counts: Counter[str] = Counter()
        self._faults: list[dict[str, Any]] = []
        self._blank: list[int] = []
        self._marked: list[int] = []

    def see(self, line: EntryLine) -> None:
        """Note that a line is blank, or begins with a byte order mark."""
        for has_it, name, numbers in ((line.is_blank, "blank", self._blank), (line.has_mark, "marked", self._marked)):
            if has_it:
                self._counts[name] += 1
                if len(numbers) < SKIPPED_SHOWN_MAX:
                    numbers.append(line.number)

    def add_broken(self, line: EntryLine, code: str, detail: str) -> None:
        """Count a line that holds no record."""
        self._add(line.number, {"status": "broken", "code": code, "detail": detail})

    def take(self, outcomes: Mapping[str, Mapping[str, Any]], numbers: Mapping[str, int], through: int) -> None:
        """Count the outcomes of a batch. `numbers` holds the line of each signature, `through` the last line."""
        for signature, outcome in outcomes.items():
            if outcome["status"] == "refused":
                self._add(numbers[signature], {"signature": signature, **outcome})
            else:
                self._counts[outcome["status"]] += 1
        self.through = through
        self.lines = through - self.first_line + 1

    def _add(self, number: int, facts: dict[str, Any]) -> None:
        self._counts[facts["status"]] += 1
        self.faults += 1
        if len(self._faults) < FAULTS_SHOWN_MAX:
            self._faults.append({"line": number, **facts})

    @property
    def records(self) -> int:
        """Records that the node has answered."""
        return sum(self._counts[name] for name in ("accepted", "known", "refused"))

    @property
    def progress(self) -> str:
        """How much was done, for an import that ends too early. Empty: nothing was done."""
        return f"{self._words()}, up to line {self.through:,}" if self.lines else ""

    def answer(self) -> dict[str, Any]:
        """The counts by name, and the first bad lines as `reasons`."""
        counts = {name: self._counts[name] for name in ("accepted", "known", "refused", "broken", "blank")}
        return counts | {"reasons": self._first()}

    def summary(self) -> "RenderableType":
        """The counts in words, and a table of the first bad lines."""
        title = f"{self._words()}, in {self.lines:,} line{'' if self.lines == 1 else 's'}"
        if not self._faults:
            return plain(title)
        rows = [
            (each["line"], short(each.get("signature")), each.get("code"), each.get("detail")) for each in self._first()
        ]
        if self.faults > len(rows):
            rows.append(("", "", "", f"… and {self.faults - len(rows):,} more"))
        return table(["#line", "signature", "code", "~why"], rows, title=title)

    def failure(self) -> tuple[str, str]:
        """The code and the detail of the error that an import with bad lines ends with."""
        refused, broken = self._counts["refused"], self._counts["broken"]
        of_records = f"{refused:,} of {self.records:,} records were refused"
        of_lines = f"{broken:,} of {self.lines:,} lines are broken"
        if not refused:
            return "broken", of_lines
        return "refused", f"{of_records}, {of_lines}" if broken else of_records

    def warn_of_skipped(self) -> None:
        """Name the lines that are blank, or whose byte order mark was left out."""
        for name, numbers, words in (
            ("blank", self._blank, "blank lines were skipped"),
            ("marked", self._marked, "a byte order mark was left out at the start of lines"),
        ):
            if numbers:
                more = self._counts[name] - len(numbers)
                told = ", ".join(map(str, numbers)) + (f" … and {more:,} more" if more else "")
                warn(f"{words}: {told}")

    def _first(self) -> list[dict[str, Any]]:
        return sorted(self._faults, key=lambda fault: int(fault["line"]))

    def _words(self) -> str:
        counts = self._counts
        always = [f"{counts[name]:,} {name}" for name in ("accepted", "known", "refused")]
        return ", ".join(always + [f"{counts[name]:,} {name}" for name in ("broken", "blank") if counts[name]])
