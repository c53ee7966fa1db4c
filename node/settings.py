"""Every setting of a node, with its unit, its default and what it is for.

A value comes from, in rising order: the default, a TOML file, the environment (`DNARC_` and the name in capitals), a
flag. `none` means no limit where the default or the type allows it; 0 means 0.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta


def _about(description: str, unit: str = "") -> Meta:
    return Meta(description=description, extra={"unit": unit})


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator may choose. Nothing in here decides whether a record is valid."""

    host: Annotated[str, _about("Address to listen on. Anything but loopback is open to the network.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535), _about("TCP port to listen on; 0 picks a free one.")] = 8080
    data: Annotated[Path, _about("Folder of dnarc.db, node.key and admin-token; made when absent.")] = Path("data")

    domains: Annotated[list[str] | None, _about("Domains to keep; none: every domain that appears.")] = None
    domains_max: Annotated[int, Meta(ge=1), _about("Domains to keep where `domains` lists none.", "domains")] = 10_000

    max_age: Annotated[int | None, Meta(ge=0), _about("How old a client's record may be.", "seconds")] = 300
    max_skew: Annotated[int | None, Meta(ge=0), _about("How far ahead of the clock a record may be.", "seconds")] = 300

    records_in_flight_max: Annotated[
        int, Meta(ge=1_000), _about("Records being verified or committed; past it clients get 503.", "records")
    ] = 16_384
    bytes_in_flight_max: Annotated[
        int, Meta(ge=8_388_608), _about("Bytes of records being verified or committed.", "bytes")
    ] = 64 * 2**20
    commit_records_max: Annotated[int, Meta(ge=1), _about("Records in one transaction.", "records")] = 2_048
    verify_threads: Annotated[
        int | None, Meta(ge=1), _about("Threads that verify signatures; none: one per core.", "threads")
    ] = None
    labels_cached_max: Annotated[int, Meta(ge=1), _about("Label states kept in memory.", "labels")] = 100_000
    heads_cached_max: Annotated[int, Meta(ge=1), _about("Answers to head queries kept in memory.", "heads")] = 10_000
    disk_free_bytes_min: Annotated[
        int, Meta(ge=0), _about("Free space on the disk below which writes get 507.", "bytes")
    ] = 64 * 2**20

    records_per_second_max: Annotated[
        float | None, Meta(gt=0), _about("Records taken from one address; loopback is exempt.", "records/s")
    ] = 1_000.0
    bytes_per_second_max: Annotated[
        float | None, Meta(gt=0), _about("Bytes of records taken from one address; loopback is exempt.", "bytes/s")
    ] = 4 * 2**20
    refused_per_minute_max: Annotated[
        float | None, Meta(gt=0), _about("Refused records taken from one address; loopback is exempt.", "records/min")
    ] = 600.0
    domains_per_hour_max: Annotated[
        float | None, Meta(gt=0), _about("New domains founded from one address; loopback is exempt.", "domains/h")
    ] = 60.0

    sync_interval: Annotated[
        float | None, Meta(gt=0), _about("Between two syncs with an http peer; none: only when asked.", "seconds")
    ] = 30.0
    sync_page: Annotated[int, Meta(ge=1, le=1_000), _about("Records in one request of a sync.", "records")] = 1_000
    peer_timeout: Annotated[float, Meta(gt=0), _about("Wait for a peer that says nothing.", "seconds")] = 30.0
    peers_poll: Annotated[float, Meta(gt=0), _about("Between two looks at the peers table.", "seconds")] = 2.0

    log_format: Annotated[
        str, Meta(pattern=r"\A(auto|human|json)\Z"), _about("human, json, or auto: human in a terminal.")
    ] = "auto"
