"""The statements that read the database. Each is one statement, so it sees one moment, and each uses an index.

A store reads through `Reader`, which is one session or several.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import asyncpg

from node.store.contract import (
    Cursor,
    Founder,
    LabelKey,
    Outline,
    Past,
    Peer,
    Selection,
    ShownRecord,
    StoredEvent,
    StoredRecord,
)
from node.store.rows import (
    EVENT_TYPES,
    past_of,
    record_of,
    signed_record_of,
    state_of,
    stored_event_of,
    stored_record_of,
    text_behind,
    verdict_of,
)
from protocol.limits import SAFE_INTEGER_MAX
from protocol.records.change import EventType
from protocol.records.record import SignedRecord, is_witnessed
from protocol.records.replay import State
from protocol.sets.index import pack_key

KEYS_PAGE: Final = 10_000
"""Records in a page of keys."""

HEADS_FEW: Final = 10_000
"""Up to this many heads since a timestamp are found by the index on timestamps and then sorted. More heads are found
among all labels in order, where they soon fill a page."""

_BYTES_MAX: Final = SAFE_INTEGER_MAX
"""The bound on bytes in a statement whose caller set none."""

Row = Sequence[Any]


class Reader(Protocol):
    """Runs one statement. Both `Readers` and a connection of asyncpg do."""

    async def fetch(self, query: str, *args: Any) -> list[asyncpg.Record]:
        """All rows."""


# An array, or the ends of a range, stand in subqueries where most callers get few rows. The planner does not see into
# them, so the server keeps one plan. If it saw an array of two, it would find the plan for ten too dear and make a new
# plan for each call, which costs 50 to 350 us.
_STATES: Final = """
    SELECT labels.domain, labels.label, contested, former, newest.timestamp, newest.id, head.id, head.body, final.id,
        undecided, doubly_decided, ARRAY(SELECT key FROM former_keys WHERE label = labels.no)
    FROM unnest((SELECT $1::text[]), (SELECT $2::text[])) AS wanted (domain, label)
    JOIN labels ON labels.domain = wanted.domain AND labels.label = wanted.label
    JOIN records AS newest ON newest.no = labels.newest
    LEFT JOIN records AS head ON head.no = labels.head
    LEFT JOIN records AS final ON final.no = labels.final
"""


async def states(reader: Reader, labels: Sequence[LabelKey]) -> dict[LabelKey, State]:
    """See `Store.states`."""
    rows = await reader.fetch(_STATES, [domain for domain, _ in labels], [label for _, label in labels])
    found = {(domain, label): state_of(tuple(row), more) for domain, label, *row, more in rows}
    return {key: found[key] for key in labels if key in found}


_OF_LABEL: Final = "WHERE label = (SELECT no FROM labels WHERE domain = $1 AND label = $2) ORDER BY timestamp, id"


async def history(reader: Reader, domain: str, label: str) -> list[Past]:
    """See `Store.history`."""
    rows = await reader.fetch(f"SELECT id, body, verdict FROM records {_OF_LABEL}", domain, label)
    return [past_of(*row) for row in rows]


async def outline(reader: Reader, domain: str, label: str) -> Outline:
    """See `Store.outline`."""
    rows = await reader.fetch(f"SELECT id, verdict FROM records {_OF_LABEL}", domain, label)
    return Outline(b"".join(row[0] for row in rows), [verdict_of(row[1]) for row in rows])


# The bodies that come before a record in the order of the request. The length of a body is known without reading it.
_RECORDS: Final = """
    SELECT id, signature, body, verdict, received FROM (
        SELECT records.*, place, sum(length(body)) OVER (ORDER BY place) AS bytes
        FROM unnest((SELECT $1::bytea[])) WITH ORDINALITY AS wanted (id, place) JOIN records USING (id)
    ) AS found
    WHERE bytes <= $2 OR bytes = length(body)
    ORDER BY place
"""


async def records(reader: Reader, ids: Sequence[str], bytes_max: int | None) -> dict[str, StoredRecord]:
    """See `Store.records`. The first body is the one whose sum is its own length."""
    distinct = [bytes.fromhex(record_id) for record_id in dict.fromkeys(ids)]
    rows = await reader.fetch(_RECORDS, distinct, _BYTES_MAX if bytes_max is None else bytes_max)
    return {row[0].hex(): stored_record_of(tuple(row)) for row in rows}


_HELD: Final = "SELECT id FROM unnest((SELECT $1::bytea[])) AS wanted (id) JOIN records USING (id)"


async def held(reader: Reader, ids: Sequence[str]) -> frozenset[str]:
    """See `Store.held`."""
    rows = await reader.fetch(_HELD, [bytes.fromhex(record_id) for record_id in ids])
    return frozenset(row[0].hex() for row in rows)


_HEADS_OF: Final = """
    SELECT place, id, signature, body, final IS NOT DISTINCT FROM head
    FROM unnest((SELECT $1::text[]), (SELECT $2::text[])) WITH ORDINALITY AS wanted (domain, label, place)
    JOIN labels ON labels.domain = wanted.domain AND labels.label = wanted.label
    JOIN records ON records.no = head
"""


async def heads_of(reader: Reader, labels: Sequence[LabelKey]) -> list[ShownRecord | None]:
    """The head of each of these labels, as `Store.head`."""
    found: list[ShownRecord | None] = [None] * len(labels)
    rows = await reader.fetch(_HEADS_OF, [domain for domain, _ in labels], [label for _, label in labels])
    for place, record_id, signature, body, is_final in rows:
        found[place - 1] = ShownRecord(record_id.hex(), signature.hex(), body, is_final)
    return found


class Page(NamedTuple):
    """The arguments of `Store.heads`, and the owner for `Store.heads_of_owner`."""

    domain: str | None
    after: LabelKey | None
    since: int
    limit: int
    prefix: str = ""
    bytes_max: int | None = None
    owner: str | None = None


# The order makes the planner use the index on timestamps.
_ARE_MANY: Final = "SELECT 1 FROM labels WHERE timestamp >= $1 ORDER BY timestamp DESC OFFSET $2 LIMIT 1"

# $1 and $2: a domain and a label; $3: the least timestamp; $4: the number of heads; $5: the most bytes before the last
# one. Labels that begin with `@` hold what witnesses say: their heads are no claims.
_PAGE: Final = """
    SELECT id, signature, body FROM (
        SELECT records.*, domain, chosen.label AS name,
            sum(length(body)) OVER (ORDER BY domain, chosen.label) - length(body) AS bytes_before
        FROM ({chosen}) AS chosen JOIN records ON records.no = head
    ) AS page
    WHERE bytes_before < $5
    ORDER BY domain, name
"""
_IN_ORDER: Final = """
    SELECT domain, label, head FROM labels
    WHERE {after} AND head IS NOT NULL AND {owner} AND timestamp >= (SELECT $3::bigint) AND label NOT LIKE '@%'
    ORDER BY domain, label LIMIT (SELECT $4::bigint)
"""
# MATERIALIZED: the planner must not read all labels in order to find the few that are new.
_BY_TIMESTAMP: Final = """
    WITH recent AS MATERIALIZED (SELECT domain, label, head FROM labels WHERE timestamp >= (SELECT $3::bigint))
    SELECT domain, label, head FROM recent
    WHERE {after} AND label NOT LIKE '@%'
    ORDER BY domain, label LIMIT (SELECT $4::bigint)
"""
_AFTER: Final = "(domain, label) > ((SELECT $1::text), (SELECT $2::text))"
_IN_DOMAIN: Final = "domain = $1 AND label > (SELECT $2::text)"


async def heads(reader: Reader, page: Page) -> list[SignedRecord]:
    """See `Store.heads` and `Store.heads_of_owner`. Each label has a byte, so it comes after the empty text."""
    domain, after, since, limit, prefix, bytes_max, owner = page
    assert domain is None or after is None or after[0] == domain, "a page continues in its own domain"
    assert domain is not None or not prefix, "labels with one prefix are neighbours only within one domain"
    begin = after or (domain or "", "")
    arguments: list[Any] = [*begin, since, limit, _BYTES_MAX if bytes_max is None else bytes_max]
    where = _AFTER if domain is None else _IN_DOMAIN
    if prefix:
        arguments.append(prefix)
        where += " AND label >= (SELECT $6::text)"
        if (behind := text_behind(prefix)) is not None:
            arguments.append(behind)
            where += " AND label < (SELECT $7::text)"
    if owner is not None:
        arguments.append(bytes.fromhex(owner))
    chosen = _BY_TIMESTAMP if owner is None and since > 0 and await _are_few_since(reader, since) else _IN_ORDER
    of_owner = "true" if owner is None else f"owner = ${len(arguments)}"
    sql = _PAGE.format(chosen=chosen.format(after=where, owner=of_owner))
    return [signed_record_of(*row) for row in await reader.fetch(sql, *arguments)]


_FOUNDED: Final = """
    SELECT wanted.domain, wanted.key,
        (SELECT count(*) FROM labels WHERE owner = wanted.key AND domain = wanted.domain AND founder IS NULL)
        + (SELECT count(*) FROM labels WHERE founder = wanted.key AND domain = wanted.domain)
    FROM unnest((SELECT $1::text[]), (SELECT $2::bytea[])) AS wanted (domain, key)
"""


async def labels_founded(reader: Reader, founders: Sequence[Founder]) -> dict[Founder, int]:
    """See `Store.labels_founded`."""
    open_ones = [founder for founder in founders if not is_witnessed(founder[0])]
    keys = [bytes.fromhex(key) for _, key in open_ones]
    rows = await reader.fetch(_FOUNDED, [domain for domain, _ in open_ones], keys) if open_ones else []
    found = {(domain, key.hex()): number for domain, key, number in rows}
    for domain, key in founders:
        if is_witnessed(domain):
            found[domain, key] = await _foundings(reader, domain, key)
    return {founder: found[founder] for founder in founders}


async def _foundings(reader: Reader, domain: str, key: str) -> int:
    """How many foundings the key brought to a witnessed domain. The search for the text finds few other records."""
    rows = await reader.fetch(
        "SELECT id, body FROM labels JOIN records ON records.label = labels.no "
        "WHERE domain = $1 AND labels.label NOT LIKE '@%' AND position($2::bytea IN body) > 0",
        domain,
        f'"signedby":"{key}"'.encode(),
    )
    return sum(record.signedby == key and record.prev is None for record in (record_of(*row) for row in rows))


async def _are_few_since(reader: Reader, since: int) -> bool:
    return not await reader.fetch(_ARE_MANY, since, HEADS_FEW)


_KEYS: Final = """
    SELECT records.no, domain, records.timestamp, id FROM records JOIN labels ON labels.no = records.label
    WHERE records.no > (SELECT $1::bigint) AND records.no <= (SELECT $2::bigint)
    ORDER BY records.no LIMIT (SELECT $3::bigint)
"""


async def keys(reader: Reader, after: int, through: int = SAFE_INTEGER_MAX) -> tuple[int, dict[str, list[bytes]]]:
    """A page of packed keys by domain, of records with row numbers above `after` up to `through`; and the last row
    number.
    """
    page: dict[str, list[bytes]] = {}
    for number, domain, timestamp, record_id in await reader.fetch(_KEYS, after, through, KEYS_PAGE):
        page.setdefault(domain, []).append(pack_key(timestamp, record_id))
        after = number
    return after, page


async def events(
    reader: Reader, after: int, limit: int, selection: Selection, through: int | None
) -> list[StoredEvent]:
    """See `Store.events`."""
    arguments: list[Any] = [after, SAFE_INTEGER_MAX if through is None else through, limit]
    where = f" AND type = {EVENT_TYPES[EventType.FINAL]}" if selection.only_final else ""
    for column, names in (("domain", selection.domains), ("labels.label", selection.labels)):
        if names is not None:
            arguments.append(sorted(names))
            where += f" AND {column} = ANY(${len(arguments)}::text[])"
    sql = (
        "SELECT seq, type, previous, reason, id, body, signature FROM events JOIN records ON records.no = record "
        "JOIN labels ON labels.no = records.label "
        f"WHERE seq > (SELECT $1::bigint) AND seq <= (SELECT $2::bigint){where} ORDER BY seq LIMIT (SELECT $3::bigint)"
    )
    return [stored_event_of(tuple(row)) for row in await reader.fetch(sql, *arguments)]


async def last_event(reader: Reader) -> int:
    """See `Store.last_event`. Events of a dropped domain are gone, and their numbers are not used again."""
    return int((await reader.fetch("SELECT event FROM commits ORDER BY no DESC LIMIT 1"))[0][0])


async def peers(reader: Reader) -> list[Peer]:
    """See `Store.peers`."""
    rows = await reader.fetch("SELECT url, push, pull, accept, key FROM peers ORDER BY coalesce(url, key)")
    return [Peer(url=url, push=push, pull=pull, accept=accept, key=key) for url, push, pull, accept, key in rows]


async def cursors(reader: Reader) -> list[Cursor]:
    """See `Store.cursors`."""
    return [Cursor(*row) for row in await reader.fetch("SELECT peer, domain, direction, timestamp FROM cursors")]
