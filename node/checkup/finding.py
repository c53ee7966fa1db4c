"""A finding: one thing that was looked at, how well it is, and a remedy if it is not well."""

from collections.abc import Iterable
from enum import StrEnum

import msgspec


class Level(StrEnum):
    """How well a thing is. `WARN`: it works, and an operator should decide. `FAIL`: it does harm, now or soon."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True):
    """The result of one check. JSON calls the level `state`.

    `check` is stable, because programs branch on it. `detail` says what was seen, `remedy` what to do. A finding of the
    level `OK` has no remedy.
    """

    check: str
    level: Level = msgspec.field(name="state")
    detail: str
    remedy: str | None = None


def ok(check: str, detail: str) -> Finding:
    return Finding(check, Level.OK, detail)


def warn(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, Level.WARN, detail, remedy)


def fail(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, Level.FAIL, detail, remedy)


def worst(findings: Iterable[Finding]) -> Level:
    """The worst level of all findings. `OK` if there is no finding."""
    order = list(Level)
    return max((finding.level for finding in findings), key=order.index, default=Level.OK)
