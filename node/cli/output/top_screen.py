"""The screen of `dnarc top`: one moment of a node, for a terminal of any width."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from rich import box
from rich.columns import Columns
from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from node.cli.output.tables import Sheet
from node.cli.output.text import many, moment, plain, short

if TYPE_CHECKING:
    from rich.console import RenderableType

    from node.client.watching import Newest, PeerSeen, Snapshot, WitnessedSeen

NEWEST_SHOWN_MAX: Final = 12
PEERS_SHOWN_MAX: Final = 20

SPAN_S_MIN: Final = 0.05
"""A shorter span shows no rates, because the few questions of this command would be hundreds a second."""

BARS: Final = " ▁▂▃▄▅▆▇█"
CURVE_COLUMNS: Final = 48
GAUGE_COLUMNS: Final = 16

_STATES: Final = {
    "live": "green",
    "syncing": "green",
    "connecting": "yellow",
    "catching_up": "yellow",
    "behind": "yellow",
    "failing": "bold red",
    "refused": "bold red",
}
_STEPS: Final = {"identical": "green", "differs": "yellow", "unknown": "dim"}


def draw(snapshot: "Snapshot", newest: "Sequence[Newest]", moments: Sequence[float]) -> "RenderableType":
    """Draw the whole screen. `moments` are rates of accepted records per second, the last rate is the present one."""
    tables = Columns([_rates(snapshot), _queues(snapshot)], padding=(0, 4))
    curve = Text(curve_of(moments, CURVE_COLUMNS), "cyan").append("  records/s, the newest at the right", "dim")
    parts = (tables, *_witnessed(snapshot.witnessed), _peers(snapshot.peers), _newest(newest))
    return Group(_head(snapshot), *_complaints(snapshot), curve, *parts)


def draw_without_answer(snapshot: "Snapshot", error: str) -> "RenderableType":
    """Draw the screen for a node that does not answer."""
    return Group(_head(snapshot), plain(f"no answer: {error}", "bold red"), Text("Ctrl-C ends this", "dim"))


def curve_of(values: Sequence[float], columns: int) -> str:
    """The last values as bars of eight heights. The highest value has a full bar."""
    shown = list(values)[-columns:]
    highest = max(shown, default=0.0)
    if highest <= 0:
        return "▁" * len(shown)
    return "".join(BARS[max(1, round(value / highest * (len(BARS) - 1)))] if value else BARS[1] for value in shown)


def span_of(seconds: float) -> str:
    """A span of time in its two largest units."""
    rest = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, rest = divmod(rest, size)
        if number or (unit == "s" and not parts):
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2])


def _head(snapshot: "Snapshot") -> "RenderableType":
    state = ("not well", "bold red") if snapshot.problems else ("well", "green")
    held = f"{many(snapshot.records, 'record')} in {many(snapshot.domains, 'domain')}"
    words = plain(f"{snapshot.url}  dnarc {snapshot.version}  up {span_of(snapshot.uptime_s)}  {held}  ")
    return Panel(words.append(*state), title=plain(f"node {short(snapshot.node)}"), title_align="left", box=box.ROUNDED)


def _complaints(snapshot: "Snapshot") -> list[Text]:
    return [plain(f"! {text}", "bold red") for text in snapshot.problems] + [
        plain(f"! {text}", "yellow") for text in snapshot.warnings
    ]


def _rates(snapshot: "Snapshot") -> Sheet:
    is_told = snapshot.span_s >= SPAN_S_MIN
    both = zip_longest(snapshot.rates.items(), snapshot.times_ms.items(), fillvalue=("", None))
    rows = [
        (name, f"{rate:,.1f}" if is_told else "", step, "" if mean_ms is None else f"{mean_ms:,.2f}")
        for (name, rate), (step, mean_ms) in both
    ]
    return Sheet(["a second", "#rate", "mean time", "#ms"], rows)


def _queues(snapshot: "Snapshot") -> Sheet:
    rows = [
        (name.replace("_", " "), f"{number:,.0f}", _gauge(number, snapshot.limits.get(name)))
        for name, number in snapshot.queues.items()
    ]
    return Sheet(["queue", "#now", "~of its limit"], rows)


def _gauge(number: float, limit: float | None) -> Text:
    if not limit:
        return Text("")
    share = min(1.0, number / limit)
    style = "green" if share < 0.5 else "yellow" if share < 0.9 else "bold red"
    full = round(share * GAUGE_COLUMNS)
    return Text("█" * full, style).append("·" * (GAUGE_COLUMNS - full), "dim").append(f" {share:.0%}")


def _witnessed(domains: "Sequence[WitnessedSeen]") -> "list[RenderableType]":
    """A line for each witnessed domain that the node watches; nothing if it watches no domain."""
    if not domains:
        return []
    rows = [
        (
            seen.name,
            f"{seen.undecided:,}",
            span_of(seen.open_s) if seen.undecided else "",
            "" if seen.final_ms is None else f"{seen.final_ms:,.0f}",
            plain("; ".join(seen.troubles), "bold red"),
        )
        for seen in domains
    ]
    return [Sheet(["~witnessed domain", "#waiting", "#oldest", "#ms to final", "~trouble"], rows)]


def _peers(peers: "Sequence[PeerSeen]") -> "RenderableType":
    if not peers:
        return Text("no peers", "dim")
    rows = [_peer_row(peer) for peer in peers[:PEERS_SHOWN_MAX]]
    more = len(peers) - len(rows)
    sheet = Sheet(["~peer", "flows", "state", "#lag", "~in step", "~error"], rows)
    return Group(sheet, Text(f"and {more} more")) if more else sheet


def _peer_row(peer: "PeerSeen") -> tuple[object, ...]:
    flows = " ".join(name for name, is_on in (("push", peer.push), ("pull", peer.pull)) if is_on)
    state = plain(peer.state or "-", _STATES.get(peer.state or "", ""))
    steps = Text(", ").join(plain(f"{number} {step}", _STEPS.get(step, "")) for step, number in peer.steps.items())
    lag = "" if peer.lag_s is None else span_of(peer.lag_s)
    return peer.name, flows or "-", state, lag, steps, plain(peer.error, "dim")


def _newest(newest: "Sequence[Newest]") -> "RenderableType":
    if not newest:
        return Text("no records", "dim")
    rows = []
    for record in newest[:NEWEST_SHOWN_MAX]:
        style = "bold red" if record.type == "reverted" else ""
        cells = (record.type, moment(record.timestamp), short(record.signedby), record.domain, record.label)
        rows.append([plain(cell, style) for cell in cells])
    return Sheet(["newest", "time", "signed by", "~domain", "~label"], rows)
