"""What a few more records change in a witnessed domain.

The commit writes the change, and the events tell clients of it. The witness and the races of this node act on a change
once it is on disk.
"""

import msgspec

from protocol.records.change import Event
from protocol.records.record import Record
from protocol.records.replay import State, Verdict
from protocol.witness.testimony import Evidence, Fork, ForkPlace, Link, add_said
from protocol.witness.voter import SlotKey


class LabelChange(msgspec.Struct, frozen=True, gc=False):
    """What a few more records and receipts did to one label.

    `verdicts`: every verdict that is new or other than before, by record id. `kept`: how many records at the beginning
    of the chain stayed. `taken_back` and `taken`: the records that left the chain after those, and those that came,
    oldest first. `finalised`: the records that became final, oldest first. `decided`: the slots in which a record was
    decided, by `prev`. `candidates`: the records that became candidates. `forks`: the votes and commits by which a
    witness contradicts itself, as they are known now.
    """

    verdicts: dict[str, Verdict]
    kept: int
    taken_back: tuple[Record, ...]
    taken: tuple[Record, ...]
    finalised: tuple[Record, ...]
    decided: tuple[str | None, ...]
    candidates: tuple[Record, ...]
    forks: tuple[Fork, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is other than before. Most receipts of four witnesses change nothing in a label."""
        moved = self.taken or self.taken_back or self.finalised
        return bool(self.verdicts or moved or self.decided or self.candidates or self.forks)


class Contender(msgspec.Struct, frozen=True, gc=False):
    """A candidate that can still win, and what was said of it when it became one."""

    record: Record
    evidence: Evidence


class DomainChange(msgspec.Struct):
    """What a few more records did to a domain.

    `verdicts`: every verdict that is new or other than before, by record id. `states`: the states of the labels that
    changed. `events` are in order. `decided`: the slots in which a record was decided. `candidates`: the records
    that became candidates. `said`: what was said besides, by record id. `ahead`: the ids among these of records that
    are not held. `links`: the receipts that came or became sound, in their chains, by id. `forks`: the lies that became
    known. `awaited`: the records that came and were named before.

    `closed` and `opened` are for those who follow races, and set by `WitnessedDomain.follow`: the slots that are over,
    and then the candidates that can win now.
    """

    verdicts: dict[str, Verdict] = msgspec.field(default_factory=dict)
    states: dict[str, State] = msgspec.field(default_factory=dict)
    events: list[Event] = msgspec.field(default_factory=list)
    decided: list[SlotKey] = msgspec.field(default_factory=list)
    candidates: list[Record] = msgspec.field(default_factory=list)
    said: dict[str, Evidence] = msgspec.field(default_factory=dict)
    ahead: set[str] = msgspec.field(default_factory=set)
    links: dict[str, Link] = msgspec.field(default_factory=dict)
    forks: dict[ForkPlace, Fork] = msgspec.field(default_factory=dict)
    awaited: set[str] = msgspec.field(default_factory=set)
    closed: list[SlotKey] = msgspec.field(default_factory=list)
    opened: list[Contender] = msgspec.field(default_factory=list)

    def add(self, later: "DomainChange") -> None:
        """Merge a later change into this one."""
        self.verdicts |= later.verdicts
        self.states |= later.states
        self.events += later.events
        self.decided += later.decided
        self.candidates += later.candidates
        self.links |= later.links
        add_said(self.said, later.said)
        self.ahead = (self.ahead | later.ahead) - later.awaited
        self.forks |= later.forks
        self.awaited |= later.awaited
