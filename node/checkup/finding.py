"""A finding: one thing that was looked at, how it is, and what to do where it is not well."""

from collections.abc import Iterable
from enum import StrEnum

import msgspec


class State(StrEnum):
    """From well to broken. `WARN`: it works, and somebody should decide; `FAIL`: it does harm now, or soon."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True):
    """`check` is stable, as programs branch on it; `detail` says what was seen, `remedy` what to do, where needed."""

    check: str
    state: State
    detail: str
    remedy: str | None = None


def ok(check: str, detail: str) -> Finding:
    return Finding(check, State.OK, detail)


def warn(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, State.WARN, detail, remedy)


def fail(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, State.FAIL, detail, remedy)


def worst(findings: Iterable[Finding]) -> State:
    """The worst state among them; `OK` for none."""
    order = list(State)
    return max((finding.state for finding in findings), key=order.index, default=State.OK)
