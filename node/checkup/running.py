"""The node while it runs: what it says of itself, over HTTP."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from node.checkup.finding import Finding, fail, ok, warn
from node.client.figures import Figures
from node.settings import FILES_BESIDES

QUEUE_WARNED: Final = 0.9
"""Of the room in the pipeline."""


def check_health(health: dict[str, Any]) -> Iterator[Finding]:
    """What `GET /health` says."""
    for problem in health.get("problems", []):
        yield fail("node.health", problem, "see the log of the node around that time")
    for warning in health.get("warnings", []):
        yield warn("node.health", warning, "`dnarc top` shows how it goes on")
    if not health.get("problems") and not health.get("warnings"):
        yield ok("node.health", "nothing is wrong")


def check_figures(figures: Figures) -> Iterator[Finding]:
    """What `GET /metrics` shows."""
    yield from _check_files(figures)
    yield from _check_queue(figures)
    reverted = figures.value("dnarc_events_total", type="reverted") or 0
    if reverted:
        remedy = "see GET /events or the explorer for which labels; it happens when peers bring older records late"
        yield warn("heads", f"{reverted:.0f} heads were taken back since the start", remedy)
    else:
        yield ok("heads", "none was taken back since the start")


def check_states(peers: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """The state of each peer in `GET /peers`."""
    for peer in peers:
        name, state, error, remedy = (
            peer["url"] or peer["key"],
            peer.get("state"),
            peer.get("error"),
            peer.get("remedy"),
        )
        match state:
            case None:
                continue  # a node of an older version does not tell it
            case "refused":
                yield fail("peer.state", f"{name} is refused: {error}", str(remedy))
            case "failing":
                yield warn("peer.state", f"{name} is failing: {error}", str(remedy))
            case "behind":
                remedy = "its machine or the network is too slow for what is written here"
                yield warn("peer.state", f"{name} does not keep up with what this node sends", remedy)
            case _:
                yield ok("peer.state", f"{name} is {state.replace('_', ' ')}")


def _check_files(figures: Figures) -> Iterator[Finding]:
    allowed = figures.value("process_max_fds")
    if allowed is None:
        return  # not on this system
    needed = FILES_BESIDES + sum(
        figures.value("dnarc_setting", name=name) or 0 for name in ("connections_max", "links_max")
    )
    if allowed < needed:
        detail = f"the node may open {allowed:.0f} files, and its limits on connections and links need {needed:.0f}"
        yield fail("node.files", detail, f"raise it (LimitNOFILE={needed:.0f}), or lower connections_max")
    else:
        yield ok("node.files", f"{figures.value('process_open_fds') or 0:.0f} open of {allowed:.0f}")


def _check_queue(figures: Figures) -> Iterator[Finding]:
    allowed = figures.value("dnarc_setting", name="records_in_flight_max") or float("inf")
    under_way = figures.value("dnarc_in_flight_records") or 0
    if under_way > QUEUE_WARNED * allowed:
        detail = f"{under_way:.0f} of {allowed:.0f} records are on their way: clients are told to come back"
        yield warn("node.queue", detail, "see dnarc_commit_seconds (a slow disk?) and dnarc_verification_seconds")
    else:
        yield ok("node.queue", f"{under_way:.0f} records on their way")
