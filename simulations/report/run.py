"""The part of a page about one recorded run of a cluster in virtual time."""

from collections.abc import Sequence
from typing import Final

import msgspec

from simulations.report import figures, lanes, spread
from simulations.report.chart import Series, chart, peaks, thin_out
from simulations.report.markup import Markup, join, tag
from simulations.report.page import Tile, badge, bullet_list, details, html_table, repeat_line, section, tiles
from simulations.report.recorder import Recorder
from simulations.report.scale import Axis, count_axis, time_axis
from simulations.report.words import count, quantile, seconds, size
from simulations.run_result import RunResult
from simulations.swarm.plan import Plan

LINES_SHOWN: Final = 3_000
TIES_SHOWN: Final = 20
CONFLICTS_SHOWN: Final = 100
_DELAY_S_MIN: Final = 0.001
"""Shorter delays are drawn as this one, because a scale by powers of ten has no zero."""

_MARGIN: Final = 1.1
"""How far pictures go beyond the last event, as a factor."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded run. `expects`: what should happen, in words. `repeat`: the command that plays it again. `plan`: if
    it came from one.
    """

    name: str
    result: RunResult
    recorder: Recorder
    repeat: str
    expects: str = ""
    plan: Plan | None = None


def run_article(run: Run) -> Markup:
    """Everything about the run: first the result, then the story, then the figures, then the data behind them."""
    recorder, result = run.recorder, run.result
    faults = run.plan.faults if run.plan is not None else []
    end_s = _shown_s(run)
    rest = f"Nothing changed from then on until {seconds(result.virtual_s)}." if end_s < result.virtual_s else ""
    return join(
        [
            _answer(run),
            section("What happened", lanes.picture(recorder, result.lines, faults, end_s)),
            section(
                "Convergence", convergence(recorder.sets, recorder.heads, time_axis(end_s), _differing(run) + rest)
            ),
            section("Delivery", _delivery(figures.delivery_delays(recorder))),
            section("How records spread", _spread(recorder)),
            section("Conflicts", _conflicts(recorder)),
            section("Traffic", _traffic(recorder)),
            section("To look closer", _sources(run)),
        ]
    )


def _answer(run: Run) -> Markup:
    result, recorder = run.result, run.recorder
    waited = f"longest wait {seconds(max(result.settled_s))}" if result.settled_s else "never reached"
    delays = figures.delivery_delays(recorder).delays_s
    redundancy = figures.redundancy(recorder)
    items = [
        Tile("Machines", f"{result.nodes:,}", count(len(recorder.cluster.ties), "tie")),
        Tile("Records acknowledged", f"{result.records:,}", count(result.commits, "commit")),
        Tile("Virtual time", seconds(result.virtual_s), f"{result.callbacks:,} callbacks"),
        Tile("All sets equal since", seconds(_agreed_s(recorder)), waited),
        Tile("Delivery, median", seconds(quantile(delays, 0.5)), f"99 % within {seconds(quantile(delays, 0.99))}"),
        Tile(
            "Redundancy", "–" if redundancy is None else f"{redundancy:.3f}", "superfluous copies for each new record"
        ),
        Tile("On the wires", size(figures.carried_bytes(recorder)), "over all connections, with those of users"),
        Tile("Heads taken back", f"{len(recorder.reversals):,}", "over all nodes"),
    ]
    faults = bullet_list(result.violations)
    return join(
        [
            tag("p", badge(result.is_good), " ", run.expects),
            tag("ul", Markup(faults.removeprefix("<ul>").removesuffix("</ul>")), class_="faults")
            if result.violations
            else None,
            repeat_line(run.repeat),
            tag("p", "Seed ", tag("code", result.seed), ", digest ", tag("code", result.digest), class_="soft"),
            tiles(items),
        ]
    )


def _agreed_s(recorder: Recorder) -> float | None:
    """From when on all machines held the same set until the end. None: they differ at the end."""
    at_s, different = recorder.sets[-1] if recorder.sets else (0.0, 0)
    return at_s if different == 1 else None


def _shown_s(run: Run) -> float:
    """Where the pictures end, in seconds: a little after the last event, because often a long quiet time follows."""
    times = [it.at_s for arrivals in run.recorder.arrivals.values() for it in arrivals.values()]
    times += [line.at_s for line in run.result.lines if not line.where]
    return min(run.result.virtual_s, _MARGIN * max(times, default=0.0)) or run.result.virtual_s


def _differing(run: Run) -> str:
    """A sentence for the reader if sets may rightly differ at the end."""
    is_one_way = any(not (tie.push and tie.pull) for tie in run.recorder.cluster.ties)
    return "Some ties go one way only, so sets may rightly differ. " if is_one_way else ""


def convergence(
    sets: Sequence[tuple[float, int]], heads: Sequence[tuple[float, int]], time: Axis, more: str = ""
) -> Markup:
    """A chart of how many different states there were, over time. One state is the goal.

    `sets`, `heads`: for each second with a change, how many different ones there were. `more`: further words.
    """
    lines = [
        Series("different sets of records", _extended_to(peaks(sets), time), 0, is_steps=True),
        Series("different heads", _extended_to(peaks(heads), time), 1, is_steps=True, is_dashed=True),
    ]
    lines = [it for it in lines if it.points]
    highest = max((value for it in lines for _, value in it.points), default=1)
    words = "How many different states the nodes held. A node that is down counts with its last state. "
    return chart("Convergence.", words + more, time, count_axis("states", highest), lines)


def _extended_to(points: Sequence[tuple[float, float]], time: Axis) -> list[tuple[float, float]]:
    """The points, and one more at the end of the axis, because the last value holds until then."""
    return [*points, (time.high, points[-1][1])] if points else []


def _delivery(delivery: figures.DeliveryDelays) -> Markup:
    delays = delivery.delays_s
    if not delays:
        return tag("p", "No record reached a second node.")
    words = "For each record and each node but the first: the share that had arrived after this time."
    picture = delays_chart(delays, delivery.expected, "time since the first node held it", words)
    return join([picture, _quantiles(delays, delivery.expected)])


def delays_chart(delays: Sequence[float], expected: int, time: str, words: str) -> Markup:
    """A chart of the cumulative distribution of delays, over a scale by powers of ten.

    `delays`: in seconds, rising, at least one. `expected`: how many there would be if every node got every record.
    `time`: the name of the time axis.
    """
    low, high = max(_DELAY_S_MIN, delays[0]), max(2 * _DELAY_S_MIN, delays[-1])
    points = [(max(low, delay), (place + 1) / expected) for place, delay in enumerate(delays)]
    x = Axis(time, low * 0.9, high * 1.1, is_log=True, write=seconds)
    y = Axis("share", 0.0, 1.0, write=lambda value: f"{100 * value:.0f} %")
    return chart("Delivery.", words, x, y, [Series("delivered", [(low, 0.0), *thin_out(points)], 0, is_steps=True)])


def _quantiles(delays: Sequence[float], expected: int) -> Markup:
    shares = (0.5, 0.9, 0.99, 0.999)
    columns = [*(f"#{100 * share:g} % within" for share in shares), "#the last within", "#deliveries"]
    cells = [seconds(quantile(delays, share)) for share in shares]
    return html_table(columns, [[*cells, seconds(delays[-1]), f"{len(delays):,} of {expected:,}"]])


def _spread(recorder: Recorder) -> Markup:
    words = "A node is filled from the moment on at which it has the record. Links that carried the record are thick."
    return spread.picture(figures.topology(recorder), figures.spreads(recorder), words)


def _conflicts(recorder: Recorder) -> Markup:
    found = figures.conflicts(recorder)
    if not found:
        return tag(
            "p", "None: every record that a node took is in the history of its label, and no head was taken back."
        )
    columns = ("label", "owner at the end", "#accepted", "~records that lost", "#heads taken back", "~because")
    cells = [(it.label, it.owner, it.accepted, it.lost, it.taken_back, it.reasons) for it in found[:CONFLICTS_SHOWN]]
    more = len(found) - len(cells)
    words = "The set of records alone decides the owner, on all nodes alike. A node takes back a head that lost."
    return join([tag("p", words), html_table(columns, cells), tag("p", f"{more} further labels.") if more else None])


def _traffic(recorder: Recorder) -> Markup:
    copies, news = recorder.received_copies()
    ties = figures.tie_bytes(recorder)
    words = f"{count(copies, 'copy', 'copies')} of records came from peers, and {news:,} of them were new. "
    busiest = f"The busiest {TIES_SHOWN} of {len(ties)} ties:" if len(ties) > TIES_SHOWN else "By tie:"
    cells = [(one, other, size(there), size(back)) for one, other, there, back in ties[:TIES_SHOWN]]
    return join([tag("p", words + busiest), html_table(("dialler", "acceptor", "#to acceptor", "#to dialler"), cells)])


def _sources(run: Run) -> Markup:
    counts = html_table(("what", "#how often"), run.result.counts.items())
    parts = [details("How often each kind of thing happened", counts), _timeline(run)]
    if run.plan is not None:
        indented = msgspec.json.format(run.plan.as_json().encode(), indent=2).decode()
        parts.append(details("The plan, as `dnarc simulate play` takes it", tag("pre", indented)))
    return join(parts)


def _timeline(run: Run) -> Markup:
    lines = run.result.lines
    shown = lines[:LINES_SHOWN]
    more = f", the first {len(shown):,} of {len(lines):,} lines" if len(lines) > len(shown) else ""
    cells = [(f"{it.at_s:.3f}", it.where, it.what, it.facts) for it in shown]
    return details(f"The timeline{more}", html_table(("#second", "where", "what", "~facts"), cells))
