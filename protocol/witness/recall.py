"""Recall: the parts of a witnessed domain that are brought back from a store, and what a node keeps of the whole.

A domain may have millions of labels, and a record or a receipt touches few of them. So a domain says which parts it
needs for the next records, and the node reads those parts, in one go, before it lets the domain decide. A part follows
from the records that are stored, so a part that was forgotten and brought back is as it was.
"""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from protocol.records.record import Record
from protocol.records.replay import State
from protocol.witness.label import WitnessedLabel
from protocol.witness.policy import Policy
from protocol.witness.testimony import SILENCE, Evidence, Fork, Place, Spot
from protocol.witness.walk import Standings

STEP_RECORDS: Final = 200
"""Records that are walked at once, in about 5 ms."""

MERGED_AT_ONCE: Final = 5_000
"""Records that were walked, and are taken into a domain at once, in about 2 ms."""


class Wanted(msgspec.Struct):
    """Parts of a domain: labels with all that was said of their records; what was said of ids, and the labels of those
    that are held; and places in chains.
    """

    labels: dict[str, None] = msgspec.field(default_factory=dict)
    ids: dict[str, None] = msgspec.field(default_factory=dict)
    places: dict[Place, None] = msgspec.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.labels or self.ids or self.places)


class Known(msgspec.Struct):
    """The parts that were wanted.

    `labels`: all records of each label with slots that was wanted, or has a wanted id; without bodies, in no order.
    `newest`: the order key of the newest record of each wanted label that begins with `@`. `held`: the label of each
    wanted id that is held. `said`: of these records and of the wanted ids.
    """

    labels: dict[str, list[Record]] = msgspec.field(default_factory=dict)
    newest: dict[str, tuple[int, str]] = msgspec.field(default_factory=dict)
    held: dict[str, str] = msgspec.field(default_factory=dict)
    said: dict[str, Evidence] = msgspec.field(default_factory=dict)
    places: dict[Place, Spot] = msgspec.field(default_factory=dict)

    def evidence(self, record_id: str) -> Evidence:
        """What was said of a record."""
        return self.said.get(record_id, SILENCE)

    def walked(self, policy: Policy | None) -> dict[str, WitnessedLabel]:
        """The labels with slots, walked. `policy`: None while the domain has no policy record."""
        walked: dict[str, WitnessedLabel] = {}
        for _ in self.walk(walked, policy, self.evidence):
            pass
        return walked

    def walk(
        self, walked: dict[str, WitnessedLabel], policy: Policy | None, evidence: Callable[[str], Evidence]
    ) -> Iterator[None]:
        """Add the labels with slots, walked, to `walked`. Stop after each `STEP_RECORDS`, so that others get a turn: a
        label with 30,000 records takes 0.8 s.
        """
        taken, standings = 0, Standings(policy)
        for name, records in self.labels.items():
            walked[name] = label = WitnessedLabel(standings, evidence)
            for begin in range(0, len(records), STEP_RECORDS):
                step = records[begin : begin + STEP_RECORDS]
                label.apply(step)
                taken += len(step)
                if taken >= STEP_RECORDS:
                    taken = 0
                    yield


class Overview(msgspec.Struct):
    """What a node keeps of a domain all the time.

    `policy` is None while the policy is not known. `states`: of the labels of the policy and of its witnesses.
    `heard_ms`: the `at` of the newest receipt of each witness. `waiting`: bytes of the receipts of each witness that
    are not counted as sound. `due`: the places where some of these are sound. `undecided`: how many records can still
    win and wait for a decision, by label. `doubly_decided`: in how many slots two records are decided, by label.
    """

    policy: Record | None = None
    states: dict[str, State] = msgspec.field(default_factory=dict)
    heard_ms: dict[str, int] = msgspec.field(default_factory=dict)
    waiting: dict[str, int] = msgspec.field(default_factory=dict)
    due: list[Place] = msgspec.field(default_factory=list)
    forks: list[Fork] = msgspec.field(default_factory=list)
    undecided: dict[str, int] = msgspec.field(default_factory=dict)
    doubly_decided: dict[str, int] = msgspec.field(default_factory=dict)


class Spoken(msgspec.Struct, frozen=True):
    """What a store knows of one witness.

    `at_ms` is the `at` of one receipt, None unless the receipt is held and sound. `lacks`: whether the witness named a
    record that is not held.
    """

    at_ms: int | None
    lacks: bool
