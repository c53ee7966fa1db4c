"""The cases that `python -m benchmarks` runs: each a benchmark, its arguments, and the rows it fills.

A row is a figure beside what limits it in the same run. If the limit is a rate, the row shows the share of it; if the
limit is the least time that the work can take, the row shows how much of the time is that work. An aim is a bound of
the share, or of the figure itself.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec


class Size(StrEnum):
    """`full` for the figures of the page, `quick` in under 3 minutes, `tiny` to see that everything runs."""

    FULL = "full"
    QUICK = "quick"
    TINY = "tiny"


class Row(msgspec.Struct, frozen=True):
    """A row of the table, by the names of figures.

    `limit`: the figure of the limit, empty: there is no limit. `share`: the figure that compares the two, empty:
    computed as figure / limit. `at_least` or `at_most` is the aim, of the share if there is a limit and `is_of_figure`
    is false. `processor`: figures of processor time in us, by what they are called.
    """

    what: str
    figure: str
    unit: str
    limit: str = ""
    limit_is: str = ""
    at_least: float | None = None
    at_most: float | None = None
    is_of_figure: bool = False
    is_time: bool = False
    processor: Mapping[str, str] = {}


class Case(msgspec.Struct, frozen=True):
    """A benchmark with its arguments for each size; no arguments for a size: it is left out there.

    `needs_postgresql`: it starts a PostgreSQL server, so it is left out where the programs of the server are missing.
    """

    name: str
    module: str
    arguments: Mapping[Size, str]
    rows: tuple[Row, ...]
    needs_postgresql: bool = False


RAW: Final = "raw_verification_records_a_second"
LIBSODIUM: Final = "libsodium, 2 threads"
SQLITE: Final = "a node on SQLite"


def _singles(connections: int, share: float) -> Row:
    end = f"_over_{connections}_connections"
    return Row(
        f"single claims, {connections} connection{'s' if connections > 1 else ''}",
        f"claims_a_second{end}",
        "/s",
        RAW,
        LIBSODIUM,
        at_least=share,
        processor={
            "main": f"main_thread_us_a_claim{end}",
            "other": f"other_threads_us_a_claim{end}",
            "verifying": f"verifying_processes_us_a_claim{end}",
            "client": f"client_us_a_claim{end}",
        },
    )


def _heads(name: str, what: str, share: float | None) -> Row:
    return Row(
        what,
        f"{name}_answers_a_second",
        "/s",
        f"{name}_bare_handler_answers_a_second",
        "bare aiohttp handler",
        at_least=share,
        processor={
            "node": f"{name}_us_an_answer",
            "bare": f"{name}_bare_handler_us_an_answer",
            "client": f"{name}_client_us_an_answer",
        },
    )


def _seen(lane: str, what: str, p50_ms: float, p99_ms: float) -> tuple[Row, Row]:
    floor = "verifications, fdatasync"
    return (
        Row(
            f"{what}, p50",
            f"{lane}_ms_p50",
            "ms",
            f"{lane}_floor_ms_p50",
            floor,
            at_most=p50_ms,
            is_of_figure=True,
            is_time=True,
        ),
        Row(f"{what}, p99", f"{lane}_ms_p99", "ms", at_most=p99_ms),
    )


def _tail(size: str) -> Row:
    return Row(f"newest 100 of {size}, beyond the records", "tail_beyond_records_bytes", "bytes", at_most=2_000)


def _witnessed(name: str, what: str) -> Row:
    rate = "records_a_second"
    return Row(what, f"{name}_{rate}", "/s", f"ordinary_{rate}", "an ordinary domain", at_least=0.6)


def _follower_heads(name: str, what: str) -> Row:
    return Row(
        what,
        f"{name}_follower_answers_a_second",
        "/s",
        f"{name}_sqlite_answers_a_second",
        SQLITE,
        at_least=0.8,
        processor={"follower": f"{name}_follower_us_an_answer", "SQLite": f"{name}_sqlite_us_an_answer"},
    )


def _seen_at_follower(put_to: str, what: str) -> tuple[Row, ...]:
    figure = f"put_to_{put_to}_seen_at_follower_ms"
    return tuple(Row(f"{what}, {quantile}", f"{figure}_{quantile}", "ms") for quantile in ("p50", "p99"))


_COLD_PAGES: Final = (
    Row("head with its pages on disk, p50", "cold_pages_ms_p50", "ms"),
    Row("head with its pages on disk, p99", "cold_pages_ms_p99", "ms", at_most=10),
)

CASES: Final = (
    Case(
        "singles",
        "singles",
        {
            Size.FULL: "--claims 2000 --rounds 5",
            Size.QUICK: "--claims 1000 --rounds 3",
            Size.TINY: "--claims 70 --rounds 1 --warm-up 70",
        },
        (_singles(1, 0.035), _singles(8, 0.095), _singles(64, 0.19)),
    ),
    Case(
        "batches",
        "ingest",
        {
            Size.FULL: "--records 20000 --rounds 5",
            Size.QUICK: "--records 20000 --rounds 2",
            Size.TINY: "--records 1000 --rounds 1 --warm-up 500",
        },
        (
            Row(
                "pipeline, batches of 1,000",
                "pipeline_records_a_second",
                "/s",
                RAW,
                LIBSODIUM,
                at_least=0.55,
                processor={name: f"pipeline_{name}_us_a_record" for name in ("loop", "writer", "verifying")},
            ),
            Row(
                "batches of 500, 8 clients",
                "http_records_a_second",
                "/s",
                RAW,
                LIBSODIUM,
                processor={"main": "http_main_thread_us_a_record", "all": "http_processor_us_a_record"},
            ),
            Row("processor time of a record in a batch", "http_processor_us_a_record", "us", at_most=100),
        ),
    ),
    Case(
        "ceiling",
        "ceiling",
        {
            Size.FULL: "--records 50000 --rounds 5",
            Size.QUICK: "--records 20000 --rounds 2",
            Size.TINY: "--records 1000 --rounds 1",
        },
        (
            Row(
                "pipeline with verification free",
                "ceiling_records_a_second",
                "/s",
                at_least=30_000,
                processor={"loop": "loop_us_a_record", "writer": "writer_us_a_record"},
            ),
        ),
    ),
    Case(
        "heads of 100,000 labels",
        "query",
        {
            Size.FULL: "--labels 100000 --requests 10000 --rounds 7",
            Size.QUICK: "--labels 100000 --requests 5000 --rounds 3",
            Size.TINY: "--labels 1000 --requests 200 --rounds 1",
        },
        (
            _heads("first", "heads of 100,000 labels, asked for the first time", 0.7),
            _heads("again", "heads of 100,000 labels, asked for again", 0.7),
            *_COLD_PAGES,
        ),
    ),
    Case(
        "heads of 1,000,000 labels",
        "query",
        {Size.FULL: "--labels 1000000 --requests 10000 --rounds 7"},
        (_heads("first", "heads of 1,000,000 labels, asked for the first time", 0.5), *_COLD_PAGES),
    ),
    Case(
        "delivery",
        "fanout",
        {
            Size.FULL: "--writes 1000 --rounds 4",
            Size.QUICK: "--writes 300 --rounds 1",
            Size.TINY: "--writes 20 --rounds 1 --logs-s 0",
        },
        (
            *_seen("within_a_node", "PUT to a stream of the same node", 0.8, 2.0),
            *_seen("over_a_link", "PUT to a stream over a link", 1.5, 4.0),
        ),
    ),
    Case(
        "catch-up of 100,000",
        "catchup",
        {
            Size.FULL: "--records 100000 --rounds 3",
            Size.QUICK: "--records 20000 --rounds 1",
            Size.TINY: "--records 1000 --rounds 1",
        },
        (
            Row(
                "catch-up of an empty node",
                "catch_up_records_a_second",
                "/s",
                RAW,
                LIBSODIUM,
                at_least=0.5,
                processor={
                    "receiver": "receiver, us of processor time a record",
                    "sender": "sender, us of processor time a record",
                },
            ),
            Row("100 scattered differences", "scattered_seconds", "s", at_most=0.5),
            Row("their messages, with the ids", "scattered_payload_bytes", "bytes", at_most=160_137),
            _tail("100,000"),
        ),
    ),
    Case("tail of 1,000,000", "catchup", {Size.FULL: "--records 1000000 --rounds 0"}, (_tail("1,000,000"),)),
    Case(
        "start",
        "start",
        {Size.FULL: "--rounds 7", Size.QUICK: "--rounds 3", Size.TINY: "--rounds 1"},
        (
            Row(
                "start of an empty node",
                "node_s",
                "s",
                "libraries_alone_s",
                "its libraries",
                at_most=0.6,
                is_of_figure=True,
                is_time=True,
            ),
            Row(
                "dnarc --help",
                "help_s",
                "s",
                "python_alone_s",
                "python alone",
                at_most=0.3,
                is_of_figure=True,
                is_time=True,
            ),
        ),
    ),
    Case(
        "witnessed",
        "final",
        {
            Size.FULL: "--writes 300 --records 20000 --seconds 0 --history 0",
            Size.QUICK: "--writes 40 --records 4000 --rounds 1 --seconds 0 --history 0",
            Size.TINY: "--writes 3 --records 1000 --rounds 1 --seconds 0 --history 200",
        },
        (
            Row("PUT until final, one witness, p50", "one_witness_ms_p50", "ms"),
            Row("PUT until final, four witnesses, p50", "four_witnesses_ms_p50", "ms"),
            _witnessed("witnessed", "batches of a domain that others witness"),
            _witnessed("local_witness", "batches of a domain that the node witnesses"),
        ),
    ),
    Case(
        "fleet",
        "fleet",
        {
            Size.FULL: "--records 20000 --rounds 5 --held 100000",
            Size.QUICK: "--records 6000 --rounds 2 --held 20000",
            Size.TINY: "--records 300 --rounds 1 --held 300",
        },
        (
            Row(
                "pipeline into PostgreSQL, batches of 1,000",
                "postgresql_records_a_second",
                "/s",
                "sqlite_records_a_second",
                SQLITE,
                at_least=0.6,
                processor={
                    "main": "postgresql_main_thread_us_a_record",
                    "other": "postgresql_other_threads_us_a_record",
                    "verifying": "postgresql_verifying_us_a_record",
                    "server": "postgresql_server_us_a_record",
                },
            ),
        ),
        needs_postgresql=True,
    ),
    Case(
        "followers",
        "followers",
        {
            Size.FULL: "--labels 100000 --requests 10000 --rounds 5 --writes 500",
            Size.QUICK: "--labels 20000 --requests 4000 --rounds 3 --writes 200",
            Size.TINY: "--labels 400 --requests 50 --rounds 1 --writes 60",
        },
        (
            _follower_heads("first", "heads of a follower, asked for the first time"),
            _follower_heads("again", "heads of a follower, asked for again"),
            *_seen_at_follower("writer", "PUT to the writer, to a stream of a follower"),
            *_seen_at_follower("follower", "PUT to a follower, to a stream of the same follower"),
        ),
        needs_postgresql=True,
    ),
)
