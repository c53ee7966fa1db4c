"""Our figures beside the published ones: one row for each measure, over all seeds that were run."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Final

import msgspec

from simulations.broadcast import published
from simulations.broadcast.experiments import FAILURE_CYCLES, Broadcast, ExperimentResult, FailureResult
from simulations.broadcast.published import PublishedFigures, Range

NO_FIGURE: Final = "–"


class Row(msgspec.Struct, frozen=True):
    """One measure under one condition (`where`): the published figure, and the lowest, median and highest of ours."""

    measure: str
    where: str
    published: str
    lowest: str
    median: str
    highest: str


class _Measure(msgspec.Struct, frozen=True):
    """A measure of one broadcast. `read` takes it from a broadcast, `write` turns it into text, `published` gives the
    paper's figures.
    """

    name: str
    read: Callable[[Broadcast], float]
    write: Callable[[float], str]
    published: Callable[[PublishedFigures], Range]


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


def comparison_rows(results: Sequence[ExperimentResult]) -> list[Row]:
    """The whole comparison. There is at least one result, and the plans of all differ only in their seeds."""
    return [*_stable_rows(results), *_failure_rows(results), *_drip_rows(results)]


def settled(mode: str, broadcasts: Sequence[Broadcast]) -> Sequence[Broadcast]:
    """The broadcasts without the first one, which is a flood in every mode. The mode `flood` has only that one."""
    return broadcasts if mode == published.FLOOD else broadcasts[1:]


def _stable_rows(results: Sequence[ExperimentResult]) -> Iterable[Row]:
    for measure in _MEASURES:
        for mode, paper in published.STABLE.items():
            ours = [measure.read(each) for result in results for each in settled(mode, result.stable[mode])]
            yield _row(measure.name, mode, _range(measure.published(paper), measure.write), ours, measure.write)


def _failure_rows(results: Sequence[ExperimentResult]) -> Iterable[Row]:
    for same_share in zip(*(result.failures for result in results), strict=True):
        share = same_share[0].share
        where = f"{percent(share)} fail at once"
        first = [failure.broadcasts[0].reliability for failure in same_share]
        paper = published.FIRST_AFTER_FAILURE.get(share)
        yield _row("first message reaches", where, _range(paper, percent), first, percent)
        within_reach = [failure.within_reach for failure in same_share]
        if min(within_reach) < 1:
            yield _row("at most could be reached", where, NO_FIGURE, within_reach, percent)
        healing = published.CYCLES_TO_HEAL.get(share)
        yield _row("cycles to heal", where, _range(healing, _plain), [*map(_cycles, same_share)], _cycles_text)


def _drip_rows(results: Sequence[ExperimentResult]) -> Iterable[Row]:
    ours = [each.reliability for result in results for each in result.drip]
    if ours:
        where = f"{percent(published.DRIP_SHARE)} fail in each cycle"
        yield _row("messages reach", where, percent(published.DRIP_RELIABILITY), ours, percent)


def _row(measure: str, where: str, paper: str, ours: Sequence[float], write: Callable[[float], str]) -> Row:
    if not ours:
        return Row(measure, where, paper, NO_FIGURE, NO_FIGURE, NO_FIGURE)
    return Row(measure, where, paper, write(min(ours)), write(median(ours)), write(max(ours)))


def _range(values: Range | None, write: Callable[[float], str]) -> str:
    if values is None:
        return NO_FIGURE
    low, high = map(write, values)
    return low if low == high else f"{low} to {high}"


def _cycles(failure: FailureResult) -> int:
    """The cycles until the network healed, or the number of all cycles if it never did."""
    return FAILURE_CYCLES if failure.cycles_to_heal is None else failure.cycles_to_heal


def _cycles_text(cycles: float) -> str:
    return f"{FAILURE_CYCLES} or more" if cycles >= FAILURE_CYCLES else f"{cycles:g}"
