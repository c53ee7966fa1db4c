"""`dnarc import`: lines as `dnarc export` writes them, handed to a node in batches.

What a node has committed is remembered beside the file (`FILE.import`), with the node's key, so that an import that was
interrupted goes on there. That is only to save time: a record that the node has is `known`, and taking it twice changes
nothing. With the admin token records of any age are taken, without it only those that a client could write now.
"""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from node.cli.commands.options import DEFAULT_NODE, AsJson, Authority, Data, NodeUrl, Token, connect, find_token
from node.cli.commands.verify import LINE_BYTES_MAX, Entry
from node.cli.output.failures import CommandError, Exit, usage
from node.cli.output.progress import progress
from node.cli.output.screen import show, table, warn
from node.cli.output.text import plain

if TYPE_CHECKING:
    from rich.console import RenderableType

    from node.client.http import NodeClient

BATCH_RECORDS_MAX: Final = 1_000
BATCH_BYTES_MAX: Final = 8 * 2**20
REFUSED_SHOWN_MAX: Final = 20

TRIES_MAX: Final = 20
"""How often a batch is offered to a node that has no room, before the import ends (and can be resumed)."""

WAIT_S: Final = 1.0
"""Before the next try, where the node does not say how long."""

WAIT_S_MAX: Final = 30.0


class Mark(msgspec.Struct, frozen=True):
    """How much of the file this node has taken."""

    node: str
    bytes: int


class Batch(msgspec.Struct):
    """Lines for one request. `end` is the place in the file behind them."""

    entries: dict[str, msgspec.Raw]
    size_bytes: int
    end: int
    lines: int


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `dnarc export` wrote.", show_default=False)],
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    token: Token = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Hand the records in a file to a node. Ends with 1 if any is refused."""
    found = find_token(token, data)
    if found is None:
        warn("without the admin token (--data DIR, --token) a node takes new records only")
    try:
        with file.open("rb") as source, connect(node, tls_ca, found) as client:
            counts, refused = _import(client, file, source)
    except OSError as error:
        raise usage(f"{file} cannot be read: {error.strerror}") from error
    answer = {name: counts[name] for name in ("accepted", "known", "refused")} | {"reasons": refused}
    show(answer, as_json, lambda: _summary(counts, refused))
    if counts["refused"]:
        raise CommandError(Exit.REFUSED, "refused", f"{counts['refused']} of {counts.total()} records were refused")


def _import(client: "NodeClient", file: Path, source: IO[bytes]) -> tuple[Counter[str], list[dict[str, Any]]]:
    node_key = client.get_node().node
    mark_file = file.with_name(f"{file.name}.import")
    size_bytes = file.stat().st_size
    start = _start(mark_file, node_key, size_bytes)
    source.seek(start)
    counts: Counter[str] = Counter()
    refused: list[dict[str, Any]] = []
    place = start
    with progress("import (bytes)", size_bytes - start) as advance:
        for batch in batches(source, start, file):
            for signature, outcome in _put(client, batch).items():
                counts[outcome["status"]] += 1
                if outcome["status"] == "refused" and len(refused) < REFUSED_SHOWN_MAX:
                    refused.append({"signature": signature, **outcome})
            mark_file.write_bytes(msgspec.json.encode(Mark(node_key, batch.end)))
            advance(batch.end - place)
            place = batch.end
    mark_file.unlink(missing_ok=True)
    return counts, refused


def _start(mark_file: Path, node_key: str, size_bytes: int) -> int:
    """Where to begin: at the mark, where it is this node's and within the file."""
    try:
        mark = msgspec.json.decode(mark_file.read_bytes(), type=Mark)
    except (OSError, msgspec.MsgspecError, ValueError):
        return 0
    return mark.bytes if mark.node == node_key and 0 <= mark.bytes <= size_bytes else 0


def batches(source: IO[bytes], start: int, file: Path) -> Iterator[Batch]:
    """The lines from here on, in batches that fit a request. Raises: CommandError: a line is none of an export."""
    batch = Batch({}, 0, start, 0)
    while line := source.readline(LINE_BYTES_MAX):
        entry = _read(line, file, batch.end)
        is_full = len(batch.entries) == BATCH_RECORDS_MAX or batch.size_bytes + len(line) > BATCH_BYTES_MAX
        if is_full or entry.signature in batch.entries:
            yield batch
            batch = Batch({}, 0, batch.end, 0)
        batch.entries[entry.signature] = entry.record
        batch.size_bytes += len(line) + 1
        batch.end += len(line)
    if batch.entries:
        yield batch


def _read(line: bytes, file: Path, offset: int) -> Entry:
    try:
        return msgspec.json.decode(line, type=Entry)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise usage(f"{file} at byte {offset}: this is no line of {{signature, record}}: {error}") from error


def _put(client: "NodeClient", batch: Batch) -> dict[str, dict[str, Any]]:
    """What the node says of each record of a batch; while it has no room, wait as long as it asks for."""
    from node.client.http import Answer, refusal

    body = msgspec.json.encode(batch.entries)
    answer = Answer(0, {}, b"")
    for _ in range(TRIES_MAX):
        answer = client.ask("PUT", "/claims", body=body)
        if answer.status not in (429, 503):
            outcomes: dict[str, dict[str, Any]] = answer.value()
            return outcomes
        time.sleep(WAIT_S if answer.retry_after_s is None else min(answer.retry_after_s, WAIT_S_MAX))
    raise refusal(answer)


def _summary(counts: Counter[str], refused: list[dict[str, Any]]) -> "RenderableType":
    words = ", ".join(f"{counts[name]} {name}" for name in ("accepted", "known", "refused"))
    if not refused:
        return plain(words)
    rows = [(each["signature"][:12], each.get("code"), each.get("detail")) for each in refused]
    return table(["signature", "code", "~why"], rows, title=words)
