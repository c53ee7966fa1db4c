"""Every setting of a node, with its unit, its default and its purpose."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from protocol.records.write_policy import OPEN, WritePolicy

KINDS: Final = {
    "host": "Address and folder",
    "domains": "Records that the node takes",
    "records_in_flight_max": "Work, memory and disk",
    "trusted_proxies": "Proxies and trust",
    "answer_bytes_max": "Limits for clients",
    "streams_max": "Streams",
    "sync_interval": "Sync over HTTP",
    "links_max": "Links",
    "tls_certificate": "TLS",
    "log_format": "Log",
}
"""The kinds of settings. `Settings` declares the settings of a kind one after another, beginning with the one here."""

FILES_BESIDES: Final = 384
"""Open files that a node needs besides accepted connections and links: store, event loop, syncs, dialled links, and 256
connections that wait for their beginning.
"""


def _about(description: str, unit: str = "") -> Meta:
    return Meta(description=description, extra={"unit": unit})


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator may choose. No setting decides whether a record is valid."""

    host: Annotated[str, _about("Address to listen on. Any address but loopback is open to the network.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535), _about("TCP port to listen on; 0 picks a free one.")] = 8080
    data: Annotated[
        Path, _about("Folder of dnarc.db, node.key and admin-token. The node makes it if it is missing.")
    ] = Path("data")

    store: Annotated[
        Annotated[str, Meta(pattern="^postgres(ql)?://")] | None,
        _about("URL of a PostgreSQL database for the records. none: the file dnarc.db in `data`."),
    ] = None

    advertise: Annotated[
        Annotated[str, Meta(pattern="^https?://[^/?#]+/?$")] | None,
        _about("URL at which the other processes on the same `store` reach this one. none: from host and port."),
    ] = None

    domains: Annotated[list[str] | None, _about("Domains to keep. none: all domains.")] = None
    domains_max: Annotated[
        int,
        Meta(ge=1),
        _about(
            "Most domains to keep if `domains` is none. Strangers can found no new domain once the node has half as "
            "many.",
            "domains",
        ),
    ] = 10_000

    domain_records_max: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        _about("Most records of one domain, for clients. Past it they get 507. Peers are never refused.", "records"),
    ] = None
    domain_bytes_max: Annotated[
        Annotated[int, Meta(ge=0)] | None, _about("Most bytes of records of one domain, for clients.", "bytes")
    ] = None
    key_records_max: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        _about("Most records that one key signed, for clients. Past it they get 507.", "records"),
    ] = None
    key_bytes_max: Annotated[
        Annotated[int, Meta(ge=0)] | None, _about("Most bytes of records that one key signed, for clients.", "bytes")
    ] = None

    witness: Annotated[
        list[str] | None, _about("Witnessed domains that this node witnesses with its key. none: no domain.")
    ] = None
    undecided_max: Annotated[
        int,
        Meta(ge=1),
        _about(
            "Records from clients that may wait for a decision in one witnessed domain. Past it clients get 429.",
            "records",
        ),
    ] = 100_000

    max_age: Annotated[Annotated[int, Meta(ge=0)] | None, _about("Greatest age of a client's record.", "seconds")] = 300
    max_skew: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        _about("How far the timestamp of a record may be ahead of the clock.", "seconds"),
    ] = 300

    write: Annotated[
        WritePolicy,
        _about('Tables of rules that say who may write: `[write]` for all domains, `[write."example.org"]` for one.'),
    ] = OPEN

    write_plugin: Annotated[
        list[str] | None,
        _about(
            "Command of a program that decides which records of clients to take, and its arguments. none: no program."
        ),
    ] = None
    write_plugin_timeout: Annotated[
        float, Meta(gt=0), _about("How long a record waits for that program. After it clients get 503.", "seconds")
    ] = 10.0

    records_in_flight_max: Annotated[
        int, Meta(ge=1_000), _about("Most records in verification or commit. Past it clients get 503.", "records")
    ] = 16_384
    bytes_in_flight_max: Annotated[
        int,
        Meta(ge=8_388_608),
        _about("Most bytes of records in verification or commit. Past it clients get 503.", "bytes"),
    ] = 64 * 2**20
    commit_records_max: Annotated[int, Meta(ge=1), _about("Most records in one transaction.", "records")] = 2_048
    verify_threads: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        _about(
            "Threads that verify signatures. Under load as many processes verify instead. "
            "none: one thread per core, at most 4.",
            "threads",
        ),
    ] = None
    labels_cached_max: Annotated[
        int,
        Meta(ge=1),
        _about("Labels whose state stays in memory. For witnessed domains: a tenth as many records.", "labels"),
    ] = 100_000
    heads_cached_bytes_max: Annotated[
        int, Meta(ge=1), _about("Most bytes of answers to head queries that stay in memory.", "bytes")
    ] = 128 * 2**20
    disk_free_bytes_min: Annotated[int, Meta(ge=0), _about("Free disk space below which writes get 507.", "bytes")] = (
        64 * 2**20
    )
    disk_free_bytes_soft: Annotated[
        int, Meta(ge=0), _about("Free disk space below which health warns. 0: never.", "bytes")
    ] = 512 * 2**20
    store_bytes_soft: Annotated[
        Annotated[int, Meta(ge=0)] | None, _about("Size of the store above which health warns. none: never.", "bytes")
    ] = None

    trusted_proxies: Annotated[
        list[str] | None,
        _about(
            "Networks of your own proxies. Their `Forwarded` or `X-Forwarded-For` names the caller. none: no proxy."
        ),
    ] = None
    loopback_trusted: Annotated[
        bool,
        _about(
            "Callers on loopback need no admin token to sync and have no quotas. Set it to false if a proxy on this "
            "machine adds no header."
        ),
    ] = True
    metrics_public: Annotated[
        bool, _about("Everybody may read `/metrics`, not only callers on loopback and those with the admin token.")
    ] = False
    write_origins: Annotated[
        list[str] | None,
        _about("Origins of pages besides the node's own that may write from a browser, such as https://example.org."),
    ] = None

    answer_bytes_max: Annotated[
        int,
        Meta(ge=2_097_152),
        _about(
            "Most memory for answers that clients have not read yet, a quarter per address. Past it clients get 503.",
            "bytes",
        ),
    ] = 64 * 2**20
    head_timeout: Annotated[
        float,
        Meta(gt=0),
        _about("Time for a TLS handshake, and then for the head of a request to be whole.", "seconds"),
    ] = 10.0
    idle_timeout: Annotated[
        float,
        Meta(gt=0),
        _about(
            "Time after which a connection without a request is closed. It should be longer than that of your proxy.",
            "seconds",
        ),
    ] = 180.0
    body_timeout: Annotated[
        float,
        Meta(gt=0),
        _about("How long the body of a request may be behind a speed of 4,096 bytes a second.", "seconds"),
    ] = 30.0
    connections_max: Annotated[
        int,
        Meta(ge=8),
        _about(
            "Most open connections from clients and peers, a quarter per address, three quarters for all strangers. "
            "Past it they get 503.",
            "connections",
        ),
    ] = 768
    read_share_max: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        _about("Share of a core for reads from one address, and twice as much for all. Loopback is exempt.", "cores"),
    ] = 0.3
    strangers_share_max: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        _about(
            "Share of a core for all work of strangers together. Past it each address has its part. none: no limit.",
            "cores",
        ),
    ] = 0.7
    records_per_second_max: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        _about("Records that one address may send. Loopback is exempt.", "records/s"),
    ] = 1_000.0
    bytes_per_second_max: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        _about(
            "Bytes of records that one address may send. Bytes that are not plainly canonical count 16 times. "
            "Loopback is exempt.",
            "bytes/s",
        ),
    ] = 4 * 2**20
    refused_per_minute_max: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        _about("Refused records that one address may send. Loopback is exempt.", "records/min"),
    ] = 600.0
    domains_per_hour_max: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        _about("Domains that one address may found. Loopback is exempt.", "domains/h"),
    ] = 60.0

    streams_max: Annotated[int, Meta(ge=0), _about("Most consumers of `/stream` and `/events` at once.", "streams")] = (
        512
    )
    streams_per_address_max: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        _about("Most consumers from one address at once. Loopback is exempt.", "streams"),
    ] = 64
    stream_keepalive: Annotated[
        float,
        Meta(gt=0),
        _about("Time between two keep-alives to a consumer. A stream ends after three without an answer.", "seconds"),
    ] = 15.0
    stream_stall: Annotated[float, Meta(gt=0), _about("How long a consumer may leave data unread.", "seconds")] = 60.0

    sync_interval: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        _about("Time between two syncs with an http peer. none: only on request.", "seconds"),
    ] = 30.0
    sync_page: Annotated[int, Meta(ge=1, le=1_000), _about("Most records in one request of a sync.", "records")] = 1_000
    peer_timeout: Annotated[float, Meta(gt=0), _about("How long to wait for a peer that sends nothing.", "seconds")] = (
        30.0
    )
    peers_poll: Annotated[
        float,
        Meta(gt=0),
        _about("Time between two reads of the peers table, which other programs may change.", "seconds"),
    ] = 2.0

    links_max: Annotated[
        int,
        Meta(ge=0),
        _about(
            "Most links that other nodes may have open to this node, three quarters of them for strangers.", "links"
        ),
    ] = 256
    links_per_address_max: Annotated[
        int, Meta(ge=1), _about("Most links that one address may have open to this node. Loopback is exempt.", "links")
    ] = 16
    handshakes_max: Annotated[
        int,
        Meta(ge=1),
        _about("Most open links whose peer has not proved its key yet, a quarter per address.", "links"),
    ] = 32
    link_compression: Annotated[
        bool, _about("Offer and accept permessage-deflate on links. Costs CPU and saves bytes.")
    ] = False
    ping_interval: Annotated[float, Meta(gt=0), _about("Time between two pings on a link.", "seconds")] = 20.0
    repair_interval: Annotated[
        float, Meta(gt=0), _about("Time between two comparisons of all records with a linked peer.", "seconds")
    ] = 300.0
    reconnect_min: Annotated[
        float,
        Meta(gt=0),
        _about("First pause before a peer is dialled again. It doubles after each failure.", "seconds"),
    ] = 0.5
    reconnect_max: Annotated[float, Meta(gt=0), _about("Longest pause before a peer is dialled again.", "seconds")] = (
        60.0
    )

    tls_certificate: Annotated[
        Path | None, _about("PEM file of the certificate chain for HTTPS and wss. none: plain HTTP.")
    ] = None
    tls_key: Annotated[Path | None, _about("PEM file of its private key. none: the key is in `tls_certificate`.")] = (
        None
    )
    tls_ca: Annotated[
        Path | None,
        _about("PEM file of the authority that signs the certificates of peers. none: the authorities of the system."),
    ] = None

    log_format: Annotated[
        Literal["auto", "human", "json"],
        _about("Format of the log on stderr. auto: human in a terminal, json otherwise."),
    ] = "auto"

    @property
    def files_needed(self) -> int:
        """How many files the node may have open at once."""
        return FILES_BESIDES + self.connections_max + self.links_max

    @property
    def is_public(self) -> bool:
        """Whether the node listens on another address than loopback."""
        try:
            return not ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"
