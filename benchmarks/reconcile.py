"""What a reconciliation costs: `python -m benchmarks.reconcile [--keys N] [--json]`.

Both sides run in this process in turns, so the seconds are those of both together. The payload is all bytes of all
messages, with the ids. Aims with 1,000,000 keys: 100 scattered differences in 3 rounds and under 0.5 s, with the bytes
of the reference implementation, which sends 160,137 for these very sets; and a missing tail of 100 keys with under 2 kB
beyond its ids.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from random import Random
from time import perf_counter
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from benchmarks.common import report
from protocol.sets.index import Index, pack_key
from protocol.sets.negentropy import Initiator, Responder

DIFFERENCES = 100
FRAME_BYTES_MAX = 65_536
FIRST_SECOND = 1_700_000_000
KEYS_PER_SECOND = 2

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Cost:
    """The cost of one reconciliation, both sides together."""

    case: str
    differences: int
    rounds: int
    payload_bytes: int
    longest_message_bytes: int
    seconds: float
    longest_turn_ms: float
    """The longest time that one message took to answer, in milliseconds. The event loop of a node is blocked for so
    long. Reading the ids that the other side lacks is not included, because a node does that while it sends them."""


def measure(count: int) -> list[Cost]:
    random = Random(1)
    keys = sorted(pack_key(FIRST_SECOND + number // KEYS_PER_SECOND, random.randbytes(32)) for number in range(count))
    everything = Index(keys)
    ours, theirs = scattered(keys, random, DIFFERENCES)
    many_ours, many_theirs = scattered(keys, random, count // 1_000)
    without_tail = Index(keys[:-DIFFERENCES])
    return [
        reconcile("the same", everything, everything),
        reconcile(f"{DIFFERENCES} scattered", ours, theirs),
        reconcile("the last 100 missing here", without_tail, everything),
        reconcile("the last 100 missing there", everything, without_tail),
        reconcile("everything missing here", Index(), everything),
        reconcile("everything missing there", everything, Index()),
        reconcile("a 1,000th scattered", many_ours, many_theirs),
    ]


def scattered(keys: list[bytes], random: Random, differences: int) -> tuple[Index, Index]:
    """Two indexes. Each lacks half of `differences` random keys."""
    missing = random.sample(keys, differences)
    here, there = {*missing[: differences // 2]}, {*missing[differences // 2 :]}
    return Index(key for key in keys if key not in here), Index(key for key in keys if key not in there)


def reconcile(case: str, ours: Index, theirs: Index) -> Cost:
    """The best of three runs, because other programs use the machine too."""
    return min((once(case, ours, theirs) for _ in range(3)), key=lambda cost: cost.seconds)


def once(case: str, ours: Index, theirs: Index) -> Cost:
    initiator, responder = Initiator(ours, FRAME_BYTES_MAX), Responder(theirs, FRAME_BYTES_MAX)
    messages: list[bytes] = []
    turns: list[float] = []
    begun = perf_counter()
    differences = 0
    message: bytes | None = initiator.initiate()
    while message is not None:
        answer = _timed(turns, responder.answer, message)
        messages += [message, answer]
        message, have, need = _timed(turns, initiator.answer, answer)
        differences += sum(1 for _ in have) + len(need)
    return Cost(
        case=case,
        differences=differences,
        rounds=len(messages) // 2,
        payload_bytes=sum(map(len, messages)),
        longest_message_bytes=max(map(len, messages)),
        seconds=perf_counter() - begun,
        longest_turn_ms=max(turns) * 1e3,
    )


def _timed(turns: list[float], answer: Callable[[bytes], _Answer], message: bytes) -> _Answer:
    begun = perf_counter()
    answered = answer(message)
    turns.append(perf_counter() - begun)
    return answered


def main() -> None:
    options = report.options(__doc__, keys=(1_000_000, "how many keys the two sides hold together"))
    costs = measure(options.keys)
    if options.json:
        print(json.dumps([asdict(cost) for cost in costs], indent=2))
        return
    table = Table(title=f"reconciling {options.keys:,} keys in frames of {FRAME_BYTES_MAX:,} bytes")
    for name in asdict(costs[0]):
        table.add_column(name.replace("_", " "), justify="left" if name == "case" else "right")
    for cost in costs:
        table.add_row(*[f"{value:,.3f}" if isinstance(value, float) else str(value) for value in asdict(cost).values()])
    Console().print(table)


if __name__ == "__main__":
    main()
