"""What `dnarc top` shows: one moment of a node, as a picture for a terminal of any width."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from rich import box
from rich.columns import Columns
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from node.cli.screen import moment, plain, short

if TYPE_CHECKING:
    from rich.console import JustifyMethod, RenderableType

    from node.client.watching import Newest, PeerSeen, Snapshot

NEWEST_SHOWN_MAX: Final = 12
PEERS_SHOWN_MAX: Final = 20

BARS: Final = " ▁▂▃▄▅▆▇█"
CURVE_COLUMNS: Final = 48
GAUGE_COLUMNS: Final = 16

_STATES: Final = {"live": "green", "catching_up": "yellow", "behind": "yellow", "down": "bold red"}
_STEPS: Final = {"identical": "green", "differs": "yellow", "unknown": "dim"}


def drawn(snapshot: "Snapshot", newest: "Sequence[Newest]", moments: Sequence[float]) -> "RenderableType":
    """The whole picture. `moments` are records accepted a second, the last one now."""
    tables = Columns([_rates(snapshot), _queues(snapshot)], padding=(0, 4))
    curve = Text(curve_of(moments, CURVE_COLUMNS), "cyan").append("  records/s, the newest at the right", "dim")
    return Group(_head(snapshot), *_complaints(snapshot), curve, tables, _peers(snapshot.peers), _newest(newest))


def without_answer(snapshot: "Snapshot", error: str) -> "RenderableType":
    """What there is to see while the node says nothing."""
    return Group(_head(snapshot), plain(f"no answer: {error}", "bold red"), Text("Ctrl-C ends this", "dim"))


def curve_of(values: Sequence[float], columns: int) -> str:
    """The last values as bars of eight heights, the highest one being full."""
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
    held = f"{snapshot.records:,} records in {snapshot.domains:,} domains"
    words = plain(f"{snapshot.url}  dnarc {snapshot.version}  up {span_of(snapshot.uptime_s)}  {held}  ")
    return Panel(words.append(*state), title=f"node {short(snapshot.node)}", title_align="left", box=box.ROUNDED)


def _complaints(snapshot: "Snapshot") -> list[Text]:
    return [plain(f"! {text}", "bold red") for text in snapshot.problems] + [
        plain(f"! {text}", "yellow") for text in snapshot.warnings
    ]


def _rates(snapshot: "Snapshot") -> Table:
    table = _table("a second", "#rate", "mean time", "#ms")
    for (name, rate), (step, mean_ms) in zip_longest(
        snapshot.rates.items(), snapshot.times_ms.items(), fillvalue=("", None)
    ):
        table.add_row(name, f"{rate:,.1f}", step, "" if mean_ms is None else f"{mean_ms:,.2f}")
    return table


def _queues(snapshot: "Snapshot") -> Table:
    table = _table("queue", "#now", "~of its limit")
    for name, number in snapshot.queues.items():
        table.add_row(name.replace("_", " "), f"{number:,.0f}", _gauge(number, snapshot.limits.get(name)))
    return table


def _gauge(number: float, limit: float | None) -> Text:
    if not limit:
        return Text("")
    share = min(1.0, number / limit)
    style = "green" if share < 0.5 else "yellow" if share < 0.9 else "bold red"
    full = round(share * GAUGE_COLUMNS)
    return Text("█" * full, style).append("·" * (GAUGE_COLUMNS - full), "dim").append(f" {share:.0%}")


def _peers(peers: "Sequence[PeerSeen]") -> "RenderableType":
    if not peers:
        return Text("no peers", "dim")
    table = _table("~peer", "flows", "link", "~in step", "#lag")
    for peer in peers[:PEERS_SHOWN_MAX]:
        flows = " ".join(name for name, is_on in (("push", peer.push), ("pull", peer.pull)) if is_on)
        state = plain(peer.state or "-", _STATES.get(peer.state or "", ""))
        if peer.error is not None:
            state.append(" ").append_text(plain(peer.error, "dim"))
        steps = Text(", ").join(plain(f"{number} {step}", _STEPS.get(step, "")) for step, number in peer.steps.items())
        table.add_row(plain(peer.name), flows or "-", state, steps, "" if peer.lag_s is None else span_of(peer.lag_s))
    if len(peers) > PEERS_SHOWN_MAX:
        table.add_row(f"and {len(peers) - PEERS_SHOWN_MAX} more")
    return table


def _newest(newest: "Sequence[Newest]") -> "RenderableType":
    if not newest:
        return Text("no records", "dim")
    table = _table("newest", "time", "~domain", "~label", "signed by")
    for record in newest[:NEWEST_SHOWN_MAX]:
        style = "bold red" if record.type == "reverted" else ""
        cells = (record.type, moment(record.timestamp), record.domain, record.label, short(record.signedby))
        table.add_row(*(plain(cell, style) for cell in cells))
    return table


def _table(*columns: str) -> Table:
    """A column whose name begins with `#` holds numbers; one with `~` may be folded."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        justify: JustifyMethod = "right" if column.startswith("#") else "left"
        table.add_column(column.lstrip("#~"), justify=justify, overflow="fold", no_wrap=not column.startswith("~"))
    return table
