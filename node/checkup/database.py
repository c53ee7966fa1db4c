"""A PostgreSQL database: whether its rows are whole, what a commit means on its server, and where cursors stand.

All checks only read, so they also work while a node writes.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from node.checkup.finding import Finding, fail, ok, warn
from node.disk import CannotStartError, postgres_store
from node.passwords import hidden
from node.store.contract import StoreError
from node.store.inspection import Inspection

if TYPE_CHECKING:
    from node.store.postgresql.inspection import Durability

_DAMAGED: Final = (
    "restore the database from a backup or a replica; without one, move to a new database and let the peers bring the "
    "records back"
)
_LOSES: Final = "a power cut of the server may lose claims that were answered with 201"


def check_database(url: str, numbers: Mapping[str, float], now_s: float) -> list[Finding]:
    """All findings about the database. `numbers` are the settings of `exposure.numbers_of`."""
    try:
        postgres_store()
        from node.store.postgresql import inspection

        inspected = inspection.inspect(url)
        found = [_check_version(inspected), *_check_durability(inspection.durability(url))]
        if inspected.version == inspected.version_known:  # otherwise the tables are not read
            found += [_check_rows(inspection.faults(url)), *check_cursors(inspected, numbers, now_s)]
            found += _check_removals(inspected)
        return found
    except (StoreError, CannotStartError) as error:
        return [fail("database", str(error), error.remedy)]


def _check_version(inspected: Inspection) -> Finding:
    version, known = inspected.version, inspected.version_known
    if version > known:
        detail = f"a newer dnarc wrote the database: version {version}, and this is {known}"
        return fail("database.version", detail, "run the newer dnarc")
    if version < known:
        detail = f"version {version}: the next start brings it to {known}"
        return warn("database.version", detail, "make a backup with pg_dump before that start")
    return ok("database.version", f"version {version}")


def _check_rows(faults: list[str]) -> Finding:
    if faults:
        return fail("database.integrity", "; ".join(faults), _DAMAGED)
    return ok("database.integrity", "all rows are there, and all bodies are what was signed")


def _check_durability(durability: "Durability") -> Iterator[Finding]:
    if not (durability.fsync and durability.full_page_writes):
        yield fail("database.durability", f"fsync or full_page_writes is off: {_LOSES}", "switch both on")
    elif durability.synchronous_commit == "off":
        yield fail("database.durability", f"synchronous_commit is off: {_LOSES}", "set it to on")
    elif durability.replicas and durability.synchronous_commit != "local":
        words = f"a commit is on the disks of the server and of a replica ({durability.replicas} synchronous)"
        yield ok("database.durability", words)
    else:
        yield ok("database.durability", "a commit is on the disk of the server; no synchronous replica is seen")


def _check_removals(inspected: Inspection) -> Iterator[Finding]:
    if inspected.removals:
        words = f"{len(inspected.removals)} removals are not finished"
        yield warn("removals", words, "start a node: it finishes them")


def check_cursors(inspected: Inspection, numbers: Mapping[str, float], now_s: float) -> Iterator[Finding]:
    """Check that no cursor of a peer is ahead of the clock."""
    latest = now_s + numbers.get("max_skew", 0)
    ahead = [cursor for cursor in inspected.cursors if cursor.timestamp > latest]
    for cursor in ahead:
        name = hidden(cursor.peer)
        detail = (
            f"the {cursor.direction} cursor of {cursor.domain} with {name} is {cursor.timestamp - now_s:.0f} s ahead"
        )
        remedy = f"set this machine's clock; then `dnarc peers remove {name}`, and add the peer again"
        yield fail("cursors", f"{detail} of the clock, so records before it are not asked for", remedy)
    if not ahead:
        yield ok("cursors", f"none of {len(inspected.cursors)} cursors is ahead of the clock")
