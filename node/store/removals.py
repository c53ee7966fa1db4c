"""What a node asks of storage to take records down: erase bodies, or drop a whole domain.

A removal is a row in the store before anything is removed. It goes on step by step, and the row says how far it is. So
a node that was killed in the middle finishes the removal when it starts again. A removal is done when the bytes are in
no file of the store any more. Its row stays: it says what was removed, by whom, when and why.

An erased record keeps its *skeleton*: every field that replay reads, the signature and the verdict. So fingerprints,
cursors, owners and verdicts stay as they are. `Record.is_erased` tells a skeleton from a record.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Protocol

import msgspec

IDS_MAX: Final = 100
"""Ids that one removal names."""

REASON_CHARACTERS_MAX: Final = 500
BY_CHARACTERS_MAX: Final = 100


class RemovalKind(StrEnum):
    """`erase`: the bodies go and the skeletons stay. `drop`: nothing of the domain stays, and it is not kept again."""

    ERASE = "erase"
    DROP = "drop"


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which records: those of these ids; those of a label of a domain; those that a key signed; those of a domain."""

    ids: tuple[str, ...] = ()
    domain: str | None = None
    label: str | None = None
    key: str | None = None


class Removal(msgspec.Struct, frozen=True):
    """One removal and how far it is.

    `time` is when it began, in seconds since the Unix epoch. `records` and `size_bytes` count what is removed so far.
    `total` and `position` are measures of the whole work and of the work that is done. `are_bodies_gone`: every body is
    overwritten, and at most skeletons are left.
    """

    number: int
    kind: RemovalKind
    target: Target
    by: str
    reason: str
    time: int
    is_done: bool
    records: int = 0
    size_bytes: int = 0
    position: int = 0
    total: int = 0
    are_bodies_gone: bool = False

    @property
    def shown(self) -> dict[str, object]:
        """The removal as answers show it."""
        fields: dict[str, object] = msgspec.to_builtins(self)
        return {name.removeprefix("is_").removeprefix("are_"): value for name, value in fields.items()}


class Step(msgspec.Struct, frozen=True):
    """What one step of a removal did: the ids of the records whose bodies are gone, and their domains and labels.

    `is_last`: nothing is left to do but `finish`. `is_last_body`: no body is left, and of a drop at most skeletons.
    """

    ids: tuple[str, ...]
    labels: frozenset[tuple[str, str]]
    is_last: bool
    is_last_body: bool


class Finish(StrEnum):
    """How the end of a removal went. `BUSY`: another program reads the file, so the call has to be repeated. `FULL`:
    there is no room on the disk to write the file anew.
    """

    DONE = "done"
    BUSY = "busy"
    FULL = "full"


class Counted(msgspec.Struct, frozen=True):
    """What a removal would do now: records and bytes of their bodies. `heads`: how many of the records are heads.

    `of_witnesses`: policies and receipts among the target, which stay, because votes would be lost with them.
    """

    records: int = 0
    size_bytes: int = 0
    heads: int = 0
    of_witnesses: int = 0


class Erasure(msgspec.Struct, frozen=True):
    """Why a record is erased, by whom, and when, in seconds since the Unix epoch."""

    time: int
    by: str
    reason: str


class Removals(Protocol):
    """The removals of one store. Steps of one removal follow each other; two removals never run at once."""

    async def begin(self, kind: RemovalKind, target: Target, by: str, reason: str, time: int) -> Removal:
        """Make the removal durable. It covers the records that are stored now. A drop also forbids its domain."""

    async def go_on(self, number: int) -> Step:
        """Do the next step of this removal, which takes some milliseconds."""

    async def finish(self, number: int) -> Finish:
        """Take the bytes of overwritten bodies out of all files. After the last step, the removal is done by this."""

    async def unfinished(self) -> list[Removal]:
        """The removals that are not done, oldest first."""

    async def removal(self, number: int) -> Removal:
        """This removal as it is now."""

    async def list(self, before: int | None, limit: int) -> list[Removal]:
        """A page of all removals, newest first: those with numbers under `before`."""

    async def count(self, target: Target) -> Counted:
        """What a removal of this target would do now."""

    async def erasures(self, ids: Sequence[str]) -> dict[str, Erasure]:
        """Why the erased records among these ids are erased, by id. At most 1,000 ids a call."""

    async def dropped(self) -> frozenset[str]:
        """The domains that were dropped and are not kept."""

    async def keep_again(self, domain: str) -> bool:
        """Undo the ban that a drop left; the records do not come back by this. Returns whether there was a ban."""
