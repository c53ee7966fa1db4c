"""Pages about runs of clusters: one scenario, all of them, a plan, a swarm."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from simulations.report.chart import Series, chart, thin_out
from simulations.report.markup import Markup, tag
from simulations.report.page import Tile, article, badge, details, html_table, page, repeat_line, section, tiles
from simulations.report.run import Run, run_article
from simulations.report.scale import Axis, time_axis
from simulations.report.words import quantile, seconds
from simulations.run_result import RunResult

RUNS_LISTED: Final = 500


def run_page(runs: Sequence[Run]) -> str:
    """The page about one run, or about several runs below a table of all of them."""
    if len(runs) == 1:
        return page(runs[0].name, "Real nodes in virtual time, over a network in memory.", [run_article(runs[0])])
    failing = sum(not run.result.is_good for run in runs)
    lede = f"{len(runs)} runs of real nodes in virtual time; " + (f"{failing} fail." if failing else "all hold.")
    cells = [
        (
            tag("a", run.name, href=f"#{_anchor(number)}"),
            badge(run.result.is_good),
            f"{run.result.nodes:,}",
            f"{run.result.records:,}",
            seconds(run.result.virtual_s),
            run.expects,
        )
        for number, run in enumerate(runs)
    ]
    index = html_table(("run", "", "#machines", "#records", "#virtual time", "~expects"), cells)
    parts = [
        article(details(run.name, run_article(run), is_open=not run.result.is_good), name=_anchor(number))
        for number, run in enumerate(runs)
    ]
    return page("Scenarios", lede, [index, *parts])


def swarm_page(results: Mapping[str, RunResult], figures: Mapping[str, object], repeat: str, chosen: Run) -> str:
    """The page about many seeds, and about one of them at length: the first failing seed, or else the slowest one.

    `figures`: those of all seeds together. `repeat`: the command that plays all seeds again. `chosen`: the seed that
    `most_telling` has chosen, recorded.
    """
    failing = [it for it in results.values() if not it.is_good]
    rest = [it for it in results.values() if it.is_good]
    kind = "the first that fails" if failing else "the last to agree"
    listed = [*failing, *sorted(rest, key=settled_s, reverse=True)][:RUNS_LISTED]
    parts = [
        tag("p", badge(not failing)),
        repeat_line(repeat),
        tiles([Tile(name[:1].upper() + name[1:], _format_figure(value)) for name, value in figures.items()]),
        section("Time until agreement", _settled_chart(sorted(map(settled_s, results.values())))),
        section("The runs", _runs_table(listed, len(results))),
        article(tag("h2", f"Seed {chosen.result.seed}, {kind}"), run_article(chosen), name="chosen"),
    ]
    return page("Swarm", "Runs in which chance decides everything: machines, ties, faults, users.", parts)


def most_telling(results: Iterable[RunResult]) -> RunResult:
    """The first failing result, or if all hold the one that took the longest to agree. There is at least one result."""
    found = list(results)
    failing = (it for it in found if not it.is_good)
    return next(failing, None) or max(found, key=settled_s)


def settled_s(result: RunResult) -> float:
    """How long the last wait until agreement took, in seconds. 0 if the run never agreed."""
    return result.settled_s[-1] if result.settled_s else 0.0


def _settled_chart(values: Sequence[float]) -> Markup:
    points = [(value, (place + 1) / len(values)) for place, value in enumerate(values)]
    y = Axis("share of runs", 0.0, 1.0, write=lambda value: f"{100 * value:.0f} %")
    words = f"From the end of the faults on. Half of the runs agree within {seconds(quantile(values, 0.5))}."
    series = Series("agreed", [(0.0, 0.0), *thin_out(points)], 0, is_steps=True)
    return chart(
        "Time until all nodes agree.", words, time_axis(values[-1], "time since the faults were over"), y, [series]
    )


def _runs_table(results: Sequence[RunResult], total: int) -> Markup:
    cells = [
        (
            tag("code", f"dnarc simulate swarm --start {it.seed} --seeds 1"),
            badge(it.is_good),
            it.nodes,
            it.records,
            seconds(it.virtual_s),
            seconds(settled_s(it)) if it.settled_s else "never",
            "; ".join(it.violations[:3]),
        )
        for it in results
    ]
    columns = ("again", "", "#machines", "#records", "#virtual time", "#until agreement", "~violations")
    more = f" ({len(cells):,} of {total:,})" if len(cells) < total else ""
    return details(
        f"All, those that fail first, then by time{more}", html_table(columns, cells), is_open=len(cells) <= 20
    )


def _anchor(number: int) -> str:
    return f"run-{number}"


def _format_figure(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
