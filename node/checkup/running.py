"""The running node: what it says of itself over HTTP."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from node.checkup.finding import Finding, fail, ok, warn
from node.client.figures import Figures
from node.settings.settings import FILES_BESIDES

QUEUE_WARNED: Final = 0.9
"""Share of the room in the pipeline that causes a warning."""


def check_health(health: dict[str, Any]) -> Iterator[Finding]:
    """Check what `GET /health` says. Each problem and each warning says what to do by itself."""
    for problem in health.get("problems", []):
        yield fail("node.health", problem, "the log of the node says when it began")
    for warning in health.get("warnings", []):
        yield warn("node.health", warning, "`dnarc top` shows whether it goes on")
    if not health.get("problems") and not health.get("warnings"):
        yield ok("node.health", "nothing is wrong")


def check_figures(figures: Figures) -> Iterator[Finding]:
    """Check what `GET /metrics` shows."""
    yield from _check_files(figures)
    yield from _check_queue(figures)
    reverted = figures.value("dnarc_events_total", type="reverted") or 0
    if reverted:
        remedy = "GET /events and the explorer name the labels; peers that bring older records late are the cause"
        yield warn("heads", f"{reverted:.0f} heads were taken back since the node started", remedy)
    else:
        yield ok("heads", "no head was taken back since the node started")


def check_states(peers: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """Check the state of each peer in `GET /peers`. A node of an older version does not tell states."""
    for peer in peers:
        name, state = peer["url"] or peer["key"], peer.get("state")
        error, remedy = peer.get("error"), str(peer.get("remedy"))
        match state:
            case None:
                continue
            case "refused":
                yield fail("peer.state", f"{name} is refused: {error}", remedy)
            case "failing":
                yield warn("peer.state", f"{name} is failing: {error}", remedy)
            case "behind":
                remedy = "the peer's machine, or the network to it, is too slow for what is written here"
                yield warn("peer.state", f"{name} does not keep up with what this node sends", remedy)
            case _:
                yield ok("peer.state", f"{name} is {state.replace('_', ' ')}")


def _check_files(figures: Figures) -> Iterator[Finding]:
    allowed = figures.value("process_max_fds")
    if allowed is None:
        return  # this system does not tell
    needed = FILES_BESIDES + sum(
        figures.value("dnarc_setting", name=name) or 0 for name in ("connections_max", "links_max")
    )
    if allowed < needed:
        detail = f"the node may open {allowed:.0f} files, and its limits on connections and links need {needed:.0f}"
        yield fail("node.files", detail, f"raise the limit (LimitNOFILE={needed:.0f}), or lower connections_max")
    else:
        yield ok("node.files", f"{figures.value('process_open_fds') or 0:.0f} of {allowed:.0f} files are open")


def _check_queue(figures: Figures) -> Iterator[Finding]:
    allowed = figures.value("dnarc_setting", name="records_in_flight_max") or float("inf")
    in_flight = figures.value("dnarc_in_flight_records") or 0
    if in_flight > QUEUE_WARNED * allowed:
        detail = f"{in_flight:.0f} of {allowed:.0f} records are in the pipeline, so clients get 503"
        remedy = "see dnarc_commit_seconds (a slow disk) and dnarc_verification_seconds (too few cores)"
        yield warn("node.queue", detail, remedy)
    else:
        yield ok("node.queue", f"{in_flight:.0f} records are in the pipeline")
