"""The result of a run in which the writer of a fleet is killed and stopped: figures, and the broken promises."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median
from typing import Any

from rich.console import Console

from node.cli.output.screen import table


class Blow(StrEnum):
    """What is done to the writer."""

    KILL = "killed"
    PAUSE = "stopped"


@dataclass(frozen=True)
class FleetPlan:
    """The size of a run. `claims`: acknowledged claims, at least. `people`: how many write at once. `kills`, `pauses`:
    how often the writer is killed, or stopped for `pause_s` seconds.
    """

    claims: int = 3_000
    people: int = 4
    kills: int = 2
    pauses: int = 0
    pause_s: float = 30.0

    @property
    def blows(self) -> list[Blow]:
        return [Blow.KILL] * self.kills + [Blow.PAUSE] * self.pauses

    def in_words(self) -> str:
        pauses = f"; times that it is stopped (SIGSTOP) for {self.pause_s:g} s: {self.pauses}" if self.pauses else ""
        return f"{self.people} people write. Times that the writer is killed (kill -9): {self.kills}{pauses}."


@dataclass(frozen=True)
class Takeover:
    """What a blow did. `ready_s`: until another process said that it writes. `claim_s`: until a claim was acknowledged
    that was sent after the blow.
    """

    blow: Blow
    victim: str
    successor: str
    term: int
    ready_s: float
    claim_s: float


@dataclass
class FleetResult:
    """What the run saw. `lost`: acknowledged ids that a process lacks at the end. `skipped` and `doubled`: events that
    the stream left out, or brought again. `repeated`: requests that were sent again. `terms`: those of the commits in
    their order, each named once for each run of commits. `stuck`: what did not come to its end in time.
    """

    acknowledged: int = 0
    repeated: int = 0
    events: int = 0
    skipped: int = 0
    doubled: int = 0
    connections: int = 0
    lost: list[str] = field(default_factory=list)
    takeovers: list[Takeover] = field(default_factory=list)
    terms: list[int] = field(default_factory=list)
    stuck: str | None = None

    @property
    def interleaved(self) -> int:
        """How often a commit of an older term follows one of a newer term."""
        return sum(later < earlier for earlier, later in zip(self.terms, self.terms[1:], strict=False))

    def broken(self, plan: FleetPlan) -> list[str]:
        """The promises that are broken, in words."""
        return [words for is_broken, words in self._promises(plan) if is_broken]

    def _promises(self, plan: FleetPlan) -> Iterator[tuple[bool, str]]:
        blows, terms = len(plan.blows), len(set(self.terms))
        yield self.stuck is not None, str(self.stuck)
        yield self.acknowledged < plan.claims, f"{self.acknowledged} of {plan.claims} claims are acknowledged"
        yield bool(self.lost), f"{len(self.lost)} acknowledged claims are lost"
        yield self.events < self.acknowledged, f"{self.acknowledged - self.events} claims are missing in the stream"
        yield self.skipped > 0, f"the stream skipped {self.skipped} events"
        yield self.doubled > 0, f"the stream brought {self.doubled} events twice"
        yield len(self.takeovers) < blows, f"{len(self.takeovers)} of {blows} times another process took over"
        yield self.interleaved > 0, f"{self.interleaved} times a commit of an older term follows one of a newer term"
        yield terms < blows + 1, f"the commits are of {terms} terms, for {blows} takeovers"

    def as_json(self, plan: FleetPlan) -> dict[str, Any]:
        return {
            "kills": plan.kills,
            "pauses": plan.pauses,
            "acknowledged": self.acknowledged,
            "sent_again": self.repeated,
            "lost": len(self.lost),
            "events": self.events,
            "skipped": self.skipped,
            "doubled": self.doubled,
            "connections": self.connections,
            "terms": self.terms,
            "interleaved": self.interleaved,
            "takeovers": [vars(each) for each in self.takeovers],
            "broken": self.broken(plan),
        }


def show_result(result: FleetResult, plan: FleetPlan, console: Console) -> None:
    """Show a row for each blow, what they took together, and each promise."""
    takeovers = [
        (
            number,
            f"{each.victim}, {each.blow}",
            each.successor,
            each.term,
            f"{each.ready_s:.2f} s",
            f"{each.claim_s:.2f} s",
        )
        for number, each in enumerate(result.takeovers, 1)
    ]
    columns = ("#no", "it was", "took over", "#term", "#writes after", "#claim acknowledged after")
    console.print(table(columns, takeovers, "Takeovers"), "")
    together = []
    for blow in Blow:
        some = [each for each in result.takeovers if each.blow is blow]
        if some:
            times = (spread([each.ready_s for each in some]), spread([each.claim_s for each in some]))
            together.append((blow.value, len(some), *times))
    summary = ("the writer was", "#times", "another process writes after", "a new claim is acknowledged after")
    console.print(table(summary, together, "All takeovers"), "")
    console.print(table(("promise", "seen"), _seen(result, plan), "Promises"))


def _seen(result: FleetResult, plan: FleetPlan) -> list[tuple[str, str]]:
    """What the run saw of each promise."""
    return [
        ("claims acknowledged", f"{result.acknowledged:,} (sent again: {result.repeated:,})"),
        ("acknowledged claims lost", str(len(result.lost))),
        ("events of the stream", f"{result.events:,}, over {result.connections} connections"),
        ("events skipped, and doubled", f"{result.skipped}, and {result.doubled}"),
        ("terms in the commits", f"{len(set(result.terms))} for {len(plan.blows)} takeovers"),
        ("commits of an older term after a newer one", str(result.interleaved)),
    ]


def spread(times_s: Sequence[float]) -> str:
    """The least, the median and the most of these times."""
    return f"{min(times_s):.2f} to {max(times_s):.2f} s, median {median(times_s):.2f} s"
