"""Code that all benchmarks share: claims to work with, rounds that take turns, progress, and how figures are shown."""

import argparse
import asyncio
import json
import logging
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

from node.cli.run_node import SWITCH_S
from node.client.http import NodeClient
from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey

DOMAIN = "example.org"
KEY = SigningKey(b"benchmark".ljust(32, b"."))
BATCH_RECORDS = 1_000

T = TypeVar("T")

progress_console = Console(stderr=True)
"""Progress goes to stderr, so that stdout can be piped."""


def log_only_warnings() -> None:
    """A node starts and stops in each round. Only its warnings are of interest to who runs a benchmark."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def options(about: str | None, *, has_page: bool = False, **numbers: tuple[int, str]) -> argparse.Namespace:
    """The command line of a benchmark: integers, each with its default and its meaning, and `--json`. `has_page`: also
    `--write`, for a benchmark with a table of its own in a page.
    """
    log_only_warnings()
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, (default, meaning) in numbers.items():
        parser.add_argument("--" + name.replace("_", "-"), type=int, default=default, help=meaning)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    if has_page:
        parser.add_argument("--write", type=Path, metavar="PAGE", help="put the figures into this page too")
    return parser.parse_args()


def progress(items: Sequence[T] | range, what: str) -> Iterable[Any]:
    return track(items, what, console=progress_console, transient=True)


@contextmanager
def bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar for work that reports its own progress."""
    with Progress(console=progress_console, transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.update(task, completed=done)


def make_claims(count: int, name: str = "label") -> list[SignedRecord]:
    """`count` claims, each on a label of its own that begins with `name`, of about 250 canonical bytes, dated now."""
    now = int(time.time())
    numbers = progress(range(count), f"signing {count:,} claims")
    return [claim(f"{name}-{number}", now - number % 100, number) for number in numbers]


def make_history(label: str, count: int) -> list[SignedRecord]:
    """`count` claims on one label, one second apart. The last is dated now; a node accepts the older ones only as an
    import.
    """
    first = int(time.time()) - count
    numbers = progress(range(count), f"signing {count:,} versions of one claim")
    return [claim(label, first + number, number) for number in numbers]


def claim(label: str, timestamp: int, number: int, domain: str = DOMAIN) -> SignedRecord:
    """A claim of about 250 canonical bytes. `number`: what its name says."""
    body = {"domain": domain, "label": label, "signedby": KEY.public, "timestamp": timestamp}
    return sign(make(body | {"name": f"claim {number}", "note": "the quick brown fox"}), KEY)


def bodies_of(claims: Sequence[SignedRecord], records: int = BATCH_RECORDS) -> list[bytes]:
    """The bodies of `PUT /claims` requests with these claims, `records` in each."""
    return [_body(claims[start : start + records]) for start in range(0, len(claims), records)]


def _body(claims: Sequence[SignedRecord]) -> bytes:
    return msgspec.json.encode({it.signature: msgspec.Raw(it.record.canonical) for it in claims})


def put_all(client: NodeClient, claims: Sequence[SignedRecord]) -> None:
    """Send these claims to a node, one batch after another."""
    for body in progress(bodies_of(claims), f"filling the node with {len(claims):,} claims"):
        check_accepted(client.ask("PUT", "/claims", body=body).value())


def check_accepted(answers: Mapping[str, Mapping[str, object]]) -> None:
    """Check that every claim was accepted, because a figure may count no other."""
    refused = next((answer for answer in answers.values() if answer["status"] != "accepted"), None)
    assert refused is None, f"a claim of the benchmark was refused: {refused}"


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run the work on the event loop that `dnarc serve` uses, with its switches between threads."""
    sys.setswitchinterval(SWITCH_S)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


def by_turns(lanes: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """The results of each lane, one for each round. Each round runs all lanes, so a disturbance affects all of them
    alike.
    """
    results: dict[str, list[float]] = {name: [] for name in lanes}
    for _ in progress(range(rounds), "measuring, in turns"):
        for name, lane in lanes.items():
            results[name].append(lane())
    return results


def medians(results: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in results.items()}


def p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def machine() -> dict[str, object]:
    """The machine on which the figures were measured."""
    return {"cores": os.cpu_count(), "python": platform.python_version(), "load": round(os.getloadavg()[0], 2)}


def show(title: str, figures: Mapping[str, float], as_json: bool) -> None:
    """Print the figures. Their names contain their units; names that begin with `ratio` are shares of a limit."""
    facts = machine()
    if as_json:
        print(json.dumps(dict(figures) | {"machine": facts}, indent=2))
        return
    table = Table(
        "figure", title=title, min_width=60, caption=", ".join(f"{name} {value}" for name, value in facts.items())
    )
    table.add_column("value", justify="right")
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), f"{value:,.2f}" if value < 100 else f"{value:,.0f}")
    Console().print(table)
