"""Our figures beside the published ones: one row for each, over all seeds that were run."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Final

import msgspec

from simulations.broadcast import published
from simulations.broadcast.experiments import FAILURE_CYCLES, Broadcast, ExperimentResult, Failure
from simulations.broadcast.published import Range, Stable

NOT_PUBLISHED: Final = "–"


class Row(msgspec.Struct, frozen=True):
    """One figure: what was measured and where, as the paper has it, and the lowest, median and highest of ours."""

    measure: str
    where: str
    published: str
    lowest: str
    median: str
    highest: str


class _Measure(msgspec.Struct, frozen=True):
    """A figure of one broadcast: its name, how it is read and written, and the paper's."""

    name: str
    read: Callable[[Broadcast], float]
    write: Callable[[float], str]
    published: Callable[[Stable], Range]


def _plain(value: float) -> str:
    return f"{value:,.0f}"


def _fraction(value: float) -> str:
    return f"{value:.3f}"


def percent(value: float) -> str:
    return f"{100 * value:.4g} %"


_MEASURES: Final = (
    _Measure("redundancy (RMR)", lambda each: each.redundancy, _fraction, lambda paper: (paper.redundancy,) * 2),
    _Measure("last delivery hop", lambda each: each.last_hop, _plain, lambda paper: paper.last_hop),
    _Measure("payload messages", lambda each: each.payload, _plain, lambda paper: (paper.payload,) * 2),
    _Measure("control messages", lambda each: each.control, _plain, lambda paper: (paper.control,) * 2),
)


def comparison_rows(reports: Sequence[ExperimentResult]) -> list[Row]:
    """The whole comparison. There is at least one report, and all have the same plan but for the seed."""
    return [*_stable_rows(reports), *_failure_rows(reports), *_drip_rows(reports)]


def settled(mode: str, broadcasts: Sequence[Broadcast]) -> Sequence[Broadcast]:
    """Without the first, which is a flood whatever the mode; that mode has nothing else."""
    return broadcasts if mode == published.FLOOD else broadcasts[1:]


def _stable_rows(reports: Sequence[ExperimentResult]) -> Iterable[Row]:
    for measure in _MEASURES:
        for mode, paper in published.STABLE.items():
            ours = [measure.read(each) for report in reports for each in settled(mode, report.stable[mode])]
            yield _row(measure.name, mode, _range(measure.published(paper), measure.write), ours, measure.write)


def _failure_rows(reports: Sequence[ExperimentResult]) -> Iterable[Row]:
    for same_share in zip(*(report.failures for report in reports), strict=True):
        share = same_share[0].share
        where = f"{percent(share)} fail at once"
        first = [failure.broadcasts[0].reliability for failure in same_share]
        paper = published.FIRST_AFTER_FAILURE.get(share)
        yield _row("first message reaches", where, _range(paper, percent), first, percent)
        within_reach = [failure.within_reach for failure in same_share]
        if min(within_reach) < 1:
            yield _row("at most could be reached", where, NOT_PUBLISHED, within_reach, percent)
        healing = published.CYCLES_TO_HEAL.get(share)
        yield _row("cycles to heal", where, _range(healing, _plain), [*map(_cycles, same_share)], _cycles_text)


def _drip_rows(reports: Sequence[ExperimentResult]) -> Iterable[Row]:
    ours = [each.reliability for report in reports for each in report.drip]
    if ours:
        where = f"{percent(published.DRIP_SHARE)} fail in each cycle"
        yield _row("messages reach", where, percent(published.DRIP_RELIABILITY), ours, percent)


def _row(measure: str, where: str, paper: str, ours: Sequence[float], write: Callable[[float], str]) -> Row:
    if not ours:
        return Row(measure, where, paper, NOT_PUBLISHED, NOT_PUBLISHED, NOT_PUBLISHED)
    return Row(measure, where, paper, write(min(ours)), write(median(ours)), write(max(ours)))


def _range(values: Range | None, write: Callable[[float], str]) -> str:
    if values is None:
        return NOT_PUBLISHED
    low, high = map(write, values)
    return low if low == high else f"{low} to {high}"


def _cycles(failure: Failure) -> int:
    """One past the last where it never healed."""
    return FAILURE_CYCLES if failure.cycles_to_heal is None else failure.cycles_to_heal


def _cycles_text(cycles: float) -> str:
    return f"{FAILURE_CYCLES} or more" if cycles >= FAILURE_CYCLES else f"{cycles:g}"
