"""`dnarc simulate scenario`, `swarm`, `crowd`, `mutants` and `play`: real nodes in virtual time, from a terminal.

If a run fails, the command ends with exit code 1 and shows the command that repeats the run.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.input.options import AsJson
from node.cli.output.failures import usage
from node.cli.output.progress import progress
from node.cli.output.screen import show, table
from node.cli.output.text import plain
from simulations.commands.report_file import ReportFile, RunPlayer, check_report, write_report

if TYPE_CHECKING:
    from rich.console import RenderableType

    from simulations.run_result import RunResult
    from simulations.swarm.plan import Plan

Seed = Annotated[int, typer.Option(min=0, help="Decides every random choice.")]
Timeline = Annotated[bool, typer.Option("--timeline", help="Show everything that happened, line by line.")]

WORDS_SHOWN_CHARACTERS = 60
DIGEST_SHOWN_DIGITS = 12


def scenario(
    name: Annotated[str | None, typer.Argument(help="The scenario; without a name all scenarios are played.")] = None,
    seed: Seed = 1,
    listed: Annotated[bool, typer.Option("--list", help="List all scenarios, and what each expects.")] = False,
    timeline: Timeline = False,
    report: ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Play named scenarios, each a story of what happens to real networks, and check how each ends."""
    from simulations.scenarios import SCENARIOS, perform

    if listed:
        rows = [(it.name, it.expects) for it in SCENARIOS.values()]
        show(dict(rows), as_json, lambda: table(("scenario", "~expects"), rows))
        return
    if name is not None and name not in SCENARIOS:
        raise usage(f"no scenario is called {name}", "`dnarc simulate scenario --list` lists all scenarios")
    check_report(report)
    chosen = [SCENARIOS[name]] if name is not None else list(SCENARIOS.values())
    results, player = {}, RunPlayer(report)
    with progress("scenarios", len(chosen)) as advance:
        for each in chosen:
            results[each.name] = player.play(
                partial(perform, each, seed),
                with_lines=timeline,
                name=each.name,
                repeat=f"dnarc simulate scenario {each.name} --seed {seed}",
                expects=each.expects,
            )
            advance(1)
    player.write_page()
    _show_results(results, as_json, timeline, lambda it: f"dnarc simulate scenario {it} --seed {seed} --timeline")


def swarm(  # noqa: PLR0913 - a command has one argument for each of its options
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 100,
    start: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="How many processes.")] = 1,
    seconds: Annotated[float | None, typer.Option(min=1, help="Begin no further seed after this time.")] = None,
    witnessed: Annotated[bool, typer.Option("--witnessed", help="Only seeds with a witnessed domain.")] = False,
    found: Annotated[
        bool, typer.Option("--found", help="Only the seeds that once found a fault, from any start.")
    ] = False,
    shrink: Annotated[bool, typer.Option("--shrink", help="Make the first failing run as small as possible.")] = False,
    timeline: Timeline = False,
    report: ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Play runs in which chance decides everything: machines, ties, faults, honest and hostile users."""
    from simulations.swarm.draw import draw
    from simulations.swarm.play import play

    check_report(report)
    begun = time.monotonic()
    results = _play_seeds(_chosen(start, seeds, witnessed=witnessed, found=found), jobs, seconds)
    failing = [seed for seed, result in results.items() if not result.is_good]
    if failing and shrink:
        _shrink(draw(failing[0]))
    if timeline:
        results |= {seed: play(draw(seed), with_lines=True) for seed in failing or results}
    figures = _summary(results, time.monotonic() - begun)
    if not found:
        figures["next seed"] = max(map(int, results)) + 1  # `--start` with it goes on where `--seconds` ended this run
    if report is not None:
        options = "--found" if found else f"--start {start} --seeds {seeds}{' --witnessed' if witnessed else ''}"
        _write_swarm(report, results, figures, f"dnarc simulate swarm {options}")
    shown = {seed: results[seed] for seed in (failing or results if timeline else failing)}
    _show_results(shown, as_json, timeline, lambda it: f"{_seed_command(it)} --timeline", figures)


def _chosen(start: int, seeds: int, *, witnessed: bool, found: bool) -> Sequence[int]:
    from simulations.swarm.draw_council import has_council, witnessed_seeds
    from simulations.swarm.found import FOUND

    if found:
        return [seed for seed in FOUND if has_council(seed) or not witnessed]
    return list(witnessed_seeds(start, seeds)) if witnessed else range(start, start + seeds)


def _play_seeds(seeds: Sequence[int], jobs: int, seconds: float | None) -> "dict[str, RunResult]":
    """The results by seed, in the order of the seeds."""
    from simulations.swarm.seeds import play_seeds

    results = {}
    with progress("seeds", len(seeds)) as advance:
        for result in play_seeds(seeds, jobs, seconds):
            results[result.seed] = result
            advance(1)
    return {seed: results[seed] for seed in sorted(results, key=int)}


def _seed_command(seed: str) -> str:
    return f"dnarc simulate swarm --start {seed} --seeds 1"


def crowd(
    nodes: Annotated[int, typer.Option(min=2, max=1_000, help="How many machines.")] = 200,
    records: Annotated[int, typer.Option(min=1, help="How many claims.")] = 2_000,
    seed: Seed = 1,
    report: ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Play many real nodes at once, with a partition for a third of the time, and show how fast virtual time passes."""
    from simulations.swarm.crowd import draw_crowd
    from simulations.swarm.play import play

    check_report(report)
    begun, plan, player = time.monotonic(), draw_crowd(nodes, records, seed), RunPlayer(report)
    repeat = f"dnarc simulate crowd --nodes {nodes} --records {records} --seed {seed}"
    name = f"A crowd of {nodes}"
    result = player.play(partial(play, plan), with_lines=False, name=name, repeat=repeat, plan=plan)
    player.write_page()
    figures = _summary({result.seed: result}, time.monotonic() - begun)
    _show_results({result.seed: result}, as_json, False, lambda _: repeat, figures)


def mutants(
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds are played against each mutant, at most.")] = 200,
    only: Annotated[str | None, typer.Option(metavar="NAME", help="Hunt this mutant only.")] = None,
    as_json: AsJson = False,
) -> None:
    """Plant faults in copies of the program, and count the seeds that the swarm needs to find each."""
    from simulations.swarm.hunt import hunt
    from simulations.swarm.mutants import MUTANTS

    chosen = [mutant for mutant in MUTANTS if only in (None, mutant.name)]
    if not chosen:
        raise usage(f"no mutant is called {only}", "the mutants are " + ", ".join(mutant.name for mutant in MUTANTS))
    with progress("mutants", len(chosen)) as advance:
        finds = []
        for mutant in chosen:
            finds.append((mutant, hunt(mutant, seeds)))
            advance(1)
    rows = [
        (it.name, it.fault, "not found" if find.seed is None else find.seeds, find.by[:WORDS_SHOWN_CHARACTERS])
        for it, find in finds
    ]
    columns = ("mutant", "~planted fault", "#seeds", "~found by")
    show([find for _, find in finds], as_json, lambda: table(columns, rows))
    if any(find.seed is None for _, find in finds):
        raise typer.Exit(1)


def play_file(
    file: Annotated[Path, typer.Argument(help="A plan as JSON, which `swarm --shrink` writes.")],
    timeline: Timeline = False,
    report: ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Play a plan from a file."""
    import msgspec

    from simulations.swarm.plan import Plan
    from simulations.swarm.play import play

    try:
        plan = msgspec.json.decode(file.read_bytes(), type=Plan)
    except (OSError, msgspec.MsgspecError) as error:
        raise usage(f"{file} is not a plan: {error}") from error
    check_report(report)
    player, repeat = RunPlayer(report), f"dnarc simulate play {file}"
    result = player.play(partial(play, plan), with_lines=timeline, name=file.name, repeat=repeat, plan=plan)
    player.write_page()
    _show_results({file.name: result}, as_json, timeline, lambda _: f"{repeat} --timeline")


def _shrink(plan: "Plan") -> None:
    """Make the failing plan as small as possible, and write it into a file."""
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
    """Write the page about all seeds. The seed that the page shows at length is played again."""
    from simulations.report.runs import most_telling, swarm_page
    from simulations.swarm.draw import draw
    from simulations.swarm.play import play

    seed = most_telling(results.values()).seed
    plan, player = draw(seed), RunPlayer(report)
    player.play(partial(play, plan), with_lines=True, name=f"Seed {seed}", repeat=_seed_command(seed), plan=plan)
    write_report(report, swarm_page(results, figures, repeat, player.runs[0]))


def _summary(results: "dict[str, RunResult]", seconds: float) -> dict[str, Any]:
    """The figures of all runs together. `seconds`: real time that they took."""
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


def _show_results(
    results: "dict[str, RunResult]",
    as_json: bool,
    timeline: bool,
    repeat: Callable[[str], str],
    figures: dict[str, Any] | None = None,
) -> None:
    """Show the figures of all runs, and the result of each. Exit with code 1 if a run failed.

    `repeat`: the command that repeats a run, by the run's name.
    """
    value = results if figures is None else figures | {"outcomes": results}
    show(value, as_json, lambda: _render(results, timeline, repeat, figures))
    if any(not result.is_good for result in results.values()):
        raise typer.Exit(1)


def _render(
    results: "dict[str, RunResult]", timeline: bool, repeat: Callable[[str], str], figures: dict[str, Any] | None
) -> "RenderableType":
    from rich.console import Group

    columns = ("run", "", "#machines", "#records", "#seconds", "digest")
    parts: list[RenderableType] = [table(("figure", "#value"), figures.items())] if figures else []
    if not results:
        return Group(*parts)
    if timeline:
        parts += [plain(line) for result in results.values() for line in result.lines]
    rows: Sequence[Sequence[object]] = [
        (
            name,
            "holds" if it.is_good else "FAILS",
            it.nodes,
            it.records,
            round(it.virtual_s),
            it.digest[:DIGEST_SHOWN_DIGITS],
        )
        for name, it in results.items()
    ]
    parts.append(table(columns, rows))
    for name, result in results.items():
        if not result.is_good:
            parts += [plain(f"{name}: {fault}") for fault in result.violations]
            parts.append(plain(f"again: {repeat(name)}"))
    return Group(*parts)
