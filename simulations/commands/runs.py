"""`dnarc simulate swarm`, `scenario` and `play`: real nodes in virtual time, from a terminal.

A run that fails ends the command with exit code 1, and says by which command it is repeated.
"""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.commands.options import AsJson
from node.cli.output.failures import usage
from node.cli.output.progress import progress
from node.cli.output.screen import show, table
from node.cli.output.text import plain
from simulations.commands.report_file import ReportFile, RunReport, check_report, write_report

if TYPE_CHECKING:
    from rich.console import RenderableType

    from simulations.run_result import RunResult
    from simulations.swarm.plan import Plan

Seed = Annotated[int, typer.Option(min=0, help="What chance begins with.")]
Timeline = Annotated[bool, typer.Option("--timeline", help="Show all that happened, line by line.")]


def scenario(
    name: Annotated[str | None, typer.Argument(help="Which; all of them where none is named.")] = None,
    seed: Seed = 1,
    listed: Annotated[bool, typer.Option("--list", help="Say which there are, and what each expects.")] = False,
    timeline: Timeline = False,
    report: ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Play named scenarios, each a story of what happens to networks, and say whether ours ended as it must."""
    from simulations.scenarios import SCENARIOS, perform

    if listed:
        rows = [(it.name, it.expects) for it in SCENARIOS.values()]
        show(dict(rows), as_json, lambda: table(("scenario", "~expects"), rows))
        return
    if name is not None and name not in SCENARIOS:
        raise usage(f"no scenario is called {name}", "`dnarc simulate scenario --list` names them all")
    check_report(report)
    chosen = [SCENARIOS[name]] if name is not None else list(SCENARIOS.values())
    results, told = {}, RunReport(report)
    with progress("scenarios", len(chosen)) as advance:
        for it in chosen:
            repeat = f"dnarc simulate scenario {it.name} --seed {seed}"
            results[it.name] = told.play(partial(perform, it, seed), timeline, it.name, repeat, it.expects)
            advance(1)
    told.write()
    _answer(results, as_json, timeline, lambda it: f"dnarc simulate scenario {it} --seed {seed} --timeline")


def swarm(  # noqa: PLR0913 - a command has as many options as it has
    seeds: Annotated[int, typer.Option(min=1, help="How many.")] = 100,
    start: Annotated[int, typer.Option(min=0, help="The first of them.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 1,
    seconds: Annotated[float | None, typer.Option(min=1, help="Begin no further run after so many seconds.")] = None,
    shrink: Annotated[bool, typer.Option("--shrink", help="Make the first that fails as small as can be.")] = False,
    timeline: Timeline = False,
    report: ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Play runs in which everything is drawn by chance: machines, ties, faults, users honest and hostile."""
    from simulations.swarm.draw import draw
    from simulations.swarm.play import play
    from simulations.swarm.seeds import play_seeds

    check_report(report)
    begun = time.monotonic()
    results = {}
    with progress("seeds", seeds) as advance:
        for result in play_seeds(range(start, start + seeds), jobs, seconds):
            results[result.seed] = result
            advance(1)
    results = {seed: results[seed] for seed in sorted(results, key=int)}
    failing = [seed for seed, result in results.items() if not result.is_good]
    if failing and shrink:
        _shrink(draw(failing[0]))
    if timeline:
        results |= {seed: play(draw(seed), with_lines=True) for seed in failing or results}
    figures = _summary(results, time.monotonic() - begun)
    if report is not None:
        _write_swarm(report, results, figures, f"dnarc simulate swarm --start {start} --seeds {seeds}")
    _answer(
        {seed: results[seed] for seed in (failing or results if timeline else failing)},
        as_json,
        timeline,
        lambda it: f"dnarc simulate swarm --start {it} --seeds 1 --timeline",
        figures,
    )


def crowd(
    nodes: Annotated[int, typer.Option(min=2, max=1_000, help="How many machines.")] = 200,
    records: Annotated[int, typer.Option(min=1, help="How many claims.")] = 2_000,
    seed: Seed = 1,
    report: ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Play many real nodes at once, parted for a third of the time, and say how fast virtual time passes."""
    from simulations.swarm.crowd import draw_crowd
    from simulations.swarm.play import play

    check_report(report)
    begun, plan, told = time.monotonic(), draw_crowd(nodes, records, seed), RunReport(report)
    repeat = f"dnarc simulate crowd --nodes {nodes} --records {records} --seed {seed}"
    result = told.play(partial(play, plan), False, f"A crowd of {nodes}", repeat, "", plan)
    told.write()
    figures = _summary({result.seed: result}, time.monotonic() - begun)
    _answer({result.seed: result}, as_json, False, lambda _: repeat, figures)


def mutants(
    seeds: Annotated[int, typer.Option(min=1, help="How many to play against each, at most.")] = 200,
    only: Annotated[str | None, typer.Option(metavar="NAME", help="This one alone.")] = None,
    as_json: AsJson = False,
) -> None:
    """Plant faults in copies of the program, and say after how many seeds the swarm finds each."""
    from simulations.swarm.hunt import hunt
    from simulations.swarm.mutants import MUTANTS

    chosen = [mutant for mutant in MUTANTS if only in (None, mutant.name)]
    if not chosen:
        raise usage(f"no mutant is called {only}", "they are " + ", ".join(mutant.name for mutant in MUTANTS))
    with progress("mutants", len(chosen)) as advance:
        finds = []
        for mutant in chosen:
            finds.append((mutant, hunt(mutant, seeds)))
            advance(1)
    rows = [(it.name, it.fault, "not found" if find.seed is None else find.seeds, find.by[:60]) for it, find in finds]
    columns = ("mutant", "~planted fault", "#seeds", "~found by")
    show([find for _, find in finds], as_json, lambda: table(columns, rows))
    if any(find.seed is None for _, find in finds):
        raise typer.Exit(1)


def play_file(
    file: Annotated[Path, typer.Argument(help="A plan as JSON: `swarm --shrink` writes them.")],
    timeline: Timeline = False,
    report: ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Play one plan from a file."""
    import msgspec

    from simulations.swarm.plan import Plan
    from simulations.swarm.play import play

    try:
        plan = msgspec.json.decode(file.read_bytes(), type=Plan)
    except (OSError, msgspec.MsgspecError) as error:
        raise usage(f"{file} is no plan: {error}") from error
    check_report(report)
    told = RunReport(report)
    result = told.play(partial(play, plan), timeline, file.name, f"dnarc simulate play {file}", "", plan)
    told.write()
    _answer({file.name: result}, as_json, timeline, lambda _: f"dnarc simulate play {file} --timeline")


def _shrink(plan: "Plan") -> None:
    from simulations.swarm.play import play
    from simulations.swarm.shrink import TRIES_MAX, Shrinker

    with progress(f"making seed {plan.seed} smaller", TRIES_MAX) as advance:

        def fails(smaller: "Plan") -> bool:
            advance(1)
            return not play(smaller).is_good

        small = Shrinker(fails).smallest(plan)
    path = Path(f"seed-{plan.seed}.json")
    path.write_text(small.as_json() + "\n")
    counts = ((len(small.nodes), "machines"), (len(small.faults), "faults"), (len(small.acts), "acts"))
    words = ", ".join(f"{count} {what}" for count, what in counts)
    typer.echo(f"seed {plan.seed} fails with {words}: dnarc simulate play {path} --timeline", err=True)


def _write_swarm(report: Path, results: "dict[str, RunResult]", figures: dict[str, Any], repeat: str) -> None:
    """About all of them; the run that is told at length is played again."""
    from simulations.report.runs import most_telling, swarm_page
    from simulations.swarm.draw import draw
    from simulations.swarm.play import play

    seed = most_telling(results.values()).seed
    plan, told = draw(seed), RunReport(report)
    told.play(partial(play, plan), True, f"Seed {seed}", f"dnarc simulate swarm --start {seed} --seeds 1", "", plan)
    write_report(report, swarm_page(results, figures, repeat, told.runs[0]))


def _summary(results: "dict[str, RunResult]", seconds: float) -> dict[str, Any]:
    """What a swarm came to, all in all."""
    virtual_s = sum(result.virtual_s for result in results.values())
    slowest = sorted(max(result.settled_s, default=0.0) for result in results.values())
    return {
        "runs": len(results),
        "failing": sum(not result.is_good for result in results.values()),
        "nodes": sum(result.nodes for result in results.values()),
        "acknowledged records": sum(result.records for result in results.values()),
        "commits": sum(result.commits for result in results.values()),
        "hours in virtual time": round(virtual_s / 3600, 2),
        "seconds": round(seconds, 1),
        "times faster than time": round(virtual_s / max(seconds, 0.001), 1),
        "seconds until one network, median": slowest[len(slowest) // 2],
        "seconds until one network, longest": slowest[-1],
    }


def _answer(
    results: "dict[str, RunResult]", as_json: bool, timeline: bool, repeat: Any, figures: dict[str, Any] | None = None
) -> None:
    """Say how each was, and before that what they came to; leave with 1 where one failed."""
    value = results if figures is None else figures | {"outcomes": results}
    show(value, as_json, lambda: _render(results, timeline, repeat, figures))
    if any(not result.is_good for result in results.values()):
        raise typer.Exit(1)


def _render(
    results: "dict[str, RunResult]", timeline: bool, repeat: Any, figures: dict[str, Any] | None
) -> "RenderableType":
    from rich.console import Group

    columns = ("run", "", "#machines", "#records", "#seconds", "digest")
    parts: list[RenderableType] = [table(("figure", "#value"), figures.items())] if figures else []
    if not results:
        return Group(*parts)
    if timeline:
        parts += [plain(line) for result in results.values() for line in result.lines]
    rows: Sequence[Sequence[object]] = [
        (name, "holds" if it.is_good else "FAILS", it.nodes, it.records, round(it.virtual_s), it.digest[:12])
        for name, it in results.items()
    ]
    parts.append(table(columns, rows))
    for name, result in results.items():
        if not result.is_good:
            parts += [plain(f"{name}: {fault}") for fault in result.violations]
            parts.append(plain(f"again: {repeat(name)}"))
    return Group(*parts)
