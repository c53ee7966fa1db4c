"""What the ordered index costs: `python -m benchmarks.index [--keys N] [--json]`.

Aims with 1,000,000 keys: at most 60 MB of memory, about 2 us to add a key at the end, and far less than a millisecond
for the fingerprint of any range. Late keys are slow only while they split blocks that were built full, and each block
splits once.
"""

import tracemalloc
from collections.abc import Callable, Sequence
from random import Random
from time import perf_counter

from benchmarks.common import report
from protocol.sets.index import Index, pack_key

OPERATIONS = 10_000
RUNS = 5
FIRST_SECOND = 1_700_000_000
KEYS_PER_SECOND = 2


def measure(count: int) -> dict[str, float]:
    """Each figure has its unit in its name. Figures are the best of five runs, because other programs use the machine
    too.
    """
    random = Random(1)
    seconds = [FIRST_SECOND + number // KEYS_PER_SECOND for number in range(count)]
    keys = sorted(pack_key(second, random.randbytes(32)) for second in seconds)
    shuffled = random.sample(keys, count)
    figures = {
        "build_from_order_s": best_seconds(lambda: Index(keys)),
        "build_from_disorder_s": best_seconds(lambda: Index(shuffled)),
        "memory_mb": held_megabytes(keys),
    }
    index = Index(keys)
    return figures | questions(index, keys, random) | additions(index, seconds, random)


def questions(index: Index, keys: list[bytes], random: Random) -> dict[str, float]:
    probes = random.choices(keys, k=OPERATIONS)
    ranges = [sorted(random.choices(range(len(keys)), k=2)) for _ in range(OPERATIONS // 10)]
    return {
        "member_us": each_us(index.__contains__, [(key,) for key in probes]),
        "rank_us": each_us(index.rank, [(key,) for key in probes]),
        "key_at_us": each_us(index.key_at, [(begin,) for begin, _ in ranges]),
        "fingerprint_of_any_range_us": each_us(index.fingerprint, ranges),
        "fingerprint_of_all_us": each_us(index.fingerprint, [()] * OPERATIONS),
    }


def additions(index: Index, seconds: list[int], random: Random) -> dict[str, float]:
    """The cost of keys at the end, as live records come, and of late keys: alone, and each followed by a question."""

    def add_and_ask(key: bytes) -> None:
        index.add(key)
        index.fingerprint()

    live = [(pack_key(seconds[-1] + number, random.randbytes(32)),) for number in range(1, OPERATIONS)]
    late = [(pack_key(random.choice(seconds), random.randbytes(32)),) for _ in range(OPERATIONS)]
    return {
        "add_at_the_end_us": each_us(index.add, live, runs=1),
        "add_late_us": each_us(index.add, late[1_000:], runs=1),
        "add_late_and_fingerprint_us": each_us(add_and_ask, late[:1_000], runs=1),
    }


def best_seconds(work: Callable[[], object], runs: int = RUNS) -> float:
    def once() -> float:
        start = perf_counter()
        work()
        return perf_counter() - start

    return min(once() for _ in range(runs))


def each_us(work: Callable[..., object], arguments: Sequence[Sequence[object]], runs: int = RUNS) -> float:
    def all_of_them() -> None:
        for some in arguments:
            work(*some)

    return best_seconds(all_of_them, runs) / len(arguments) * 1e6


def held_megabytes(keys: list[bytes]) -> float:
    tracemalloc.start()
    index = Index(keys)
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(index) == len(keys)
    return held_bytes / 1e6


def main() -> None:
    options = report.options(__doc__, keys=(1_000_000, "how many keys the index holds"))
    figures = measure(options.keys)
    report.show(f"index of {options.keys:,} keys", figures, options.json)


if __name__ == "__main__":
    main()
