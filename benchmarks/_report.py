"""What all benchmarks share: claims to work with, rounds by turns, progress, and how figures are shown."""

import argparse
import json
import logging
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
import structlog
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

from node.client.http import NodeClient
from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey

DOMAIN = "example.org"
KEY = SigningKey(b"benchmark".ljust(32, b"."))
BATCH_RECORDS = 1_000

T = TypeVar("T")

# A node that starts and stops each round has nothing to say here, unless something is wrong.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))

progress_console = Console(stderr=True)
"""Progress goes to stderr, so that what is on stdout can be piped."""


def options(about: str | None, **numbers: tuple[int, str]) -> argparse.Namespace:
    """The command line of a benchmark: whole numbers, each with its default and what it counts, and `--json`."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, (default, meaning) in numbers.items():
        parser.add_argument("--" + name.replace("_", "-"), type=int, default=default, help=meaning)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args()


def progress(items: Sequence[T] | range, what: str) -> Iterable[Any]:
    return track(items, what, console=progress_console, transient=True)


@contextmanager
def bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar for work that says itself how far it has come."""
    with Progress(console=progress_console, transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.update(task, completed=done)


def make_claims(count: int) -> list[SignedRecord]:
    """Claims on as many labels, of about 250 canonical bytes each, dated now."""
    now = int(time.time())
    numbers = progress(range(count), f"signing {count:,} claims")
    return [_claim(f"label-{number}", now - number % 100, number) for number in numbers]


def make_history(label: str, count: int) -> list[SignedRecord]:
    """As many claims on one label, a second apart, the last of them dated now: an import, for all but the newest."""
    first = int(time.time()) - count
    numbers = progress(range(count), f"signing {count:,} versions of one claim")
    return [_claim(label, first + number, number) for number in numbers]


def _claim(label: str, timestamp: int, number: int) -> SignedRecord:
    body = {"domain": DOMAIN, "label": label, "signedby": KEY.public, "timestamp": timestamp}
    return sign(make(body | {"name": f"claim {number}", "note": "the quick brown fox"}), KEY)


def bodies_of(claims: Sequence[SignedRecord]) -> list[bytes]:
    """The bodies of `PUT /claims` with these claims."""
    starts = range(0, len(claims), BATCH_RECORDS)
    return [_body(claims[start : start + BATCH_RECORDS]) for start in starts]


def _body(claims: Sequence[SignedRecord]) -> bytes:
    return msgspec.json.encode({it.signature: msgspec.Raw(it.record.canonical) for it in claims})


def put_all(client: NodeClient, claims: Sequence[SignedRecord]) -> None:
    """Give these claims to a node, one batch after another."""
    for body in progress(bodies_of(claims), f"filling the node with {len(claims):,} claims"):
        check_accepted(client.ask("PUT", "/claims", body=body).value())


def check_accepted(answers: Mapping[str, Mapping[str, object]]) -> None:
    """A figure counts only what was accepted."""
    refused = next((answer for answer in answers.values() if answer["status"] != "accepted"), None)
    assert refused is None, f"the benchmark's own claims are good: {refused}"


def by_turns(lanes: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Each lane's results, one a round, all lanes once a round: what disturbs the machine disturbs all alike."""
    results: dict[str, list[float]] = {name: [] for name in lanes}
    for _ in progress(range(rounds), "measuring, by turns"):
        for name, lane in lanes.items():
            results[name].append(lane())
    return results


def medians(results: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in results.items()}


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {"cores": os.cpu_count(), "python": platform.python_version(), "load": round(os.getloadavg()[0], 2)}


def show(title: str, figures: Mapping[str, float], as_json: bool) -> None:
    """Figures, named with their units; those that begin with `ratio` are shares of a limit."""
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
