"""`dnarc export`: every record that a node holds, as lines in a file that grows by whole lines only.

A listing comes in the order of timestamp and id, so the file's last line says how far it is: the next run asks from
that timestamp on (inclusive) and leaves out the ids that it has at it. What arrived at the node late, with an older
timestamp, is in no later run of the same file: for a backup, export to a new one.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from node.cli.commands.entries import Entry
from node.cli.commands.options import DEFAULT_NODE, AsJson, Authority, NodeUrl, connect
from node.cli.output.failures import CommandError, Exit, usage
from node.cli.output.progress import progress
from node.cli.output.screen import json_text, reader_may_leave, show
from node.cli.output.text import plain

if TYPE_CHECKING:
    from node.client.http import NodeClient

STEP: Final = 500
"""Records between two movements of the bar."""

_TAIL_BYTES: Final = 2**20
"""How much is read at a time from the end of the file on, to look for the last timestamp."""


class Place(msgspec.Struct):
    """How far a file is: the timestamp of its last record, and the ids that it holds of that very second."""

    timestamp: int = 0
    ids: set[str] = msgspec.field(default_factory=set)

    def take(self, timestamp: int, record_id: str) -> bool:
        """Move on to this record. Returns whether it is new here."""
        if timestamp == self.timestamp and record_id in self.ids:
            return False
        if timestamp > self.timestamp:
            self.timestamp, self.ids = timestamp, set()
        self.ids.add(record_id)
        return True


class _Timed(msgspec.Struct, frozen=True):
    timestamp: int


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; - for stdout.", show_default=False)],
    domain: Annotated[str | None, typer.Option("--domain", metavar="DOMAIN", help="Only this domain.")] = None,
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    as_json: AsJson = False,
) -> None:
    """Write every record, accepted or not, to a file, one {signature, record} a line; go on where such a file ends."""
    if str(file) == "-":
        with connect(node, tls_ca) as client, reader_may_leave():
            _copy(client, domain, Place(), _write_to_stdout)
        return
    try:
        with file.open("a+b") as out, connect(node, tls_ca) as client:
            place = resume(out, file)
            written = _copy(client, domain, place, out.write)
    except OSError as error:
        raise CommandError(Exit.MACHINE, "machine", f"{file} cannot be written: {error.strerror}") from error
    answer = {"file": str(file), "records": written, "through": place.timestamp}
    show(answer, as_json, lambda: plain(f"{written} records written to {file}"))


def resume(out: IO[bytes], file: Path) -> Place:
    """Where the file is, its last line cut off if that is not whole.

    Raises:
        CommandError: it holds something else, which is left as it is.
    """
    end = out.seek(0, 2)
    place = Place()
    lines = backwards(out, end)
    torn = next(lines, b"")
    newest: int | None = None
    for line in lines:
        timestamp, record_id = _read(line, file)
        newest = timestamp if newest is None else newest
        if timestamp != newest:
            break
        place.take(timestamp, record_id)
    if torn and newest is None:
        raise _another(file)
    out.truncate(end - len(torn))
    return place


def backwards(source: IO[bytes], end: int) -> Iterator[bytes]:
    """What follows the last line feed, empty where nothing does, and then the lines before it, the last first."""
    rest = b""
    while end > 0:
        start = max(0, end - _TAIL_BYTES)
        source.seek(start)
        *lines, last = (source.read(end - start) + rest).split(b"\n")
        rest, lines = (lines[0], [*lines[1:], last]) if lines else (last, [])
        yield from reversed(lines)
        end = start
    yield rest


def _copy(client: "NodeClient", domain: str | None, place: Place, write: Callable[[bytes], object]) -> int:
    """Write what is new from the place on. Returns how many records that were."""
    from node.client.http import path_of

    path = path_of("claims", *([] if domain is None else [domain]))
    written = 0
    with progress("export", _total(client, domain)) as advance:
        for line in client.lines(path, {"history": "true", "since": str(place.timestamp)}):
            if place.take(*_read(line, None)):
                write(line + b"\n")
                written += 1
                advance(STEP if written % STEP == 0 else 0)
    return written


def _write_to_stdout(line: bytes) -> None:
    if sys.stdout.isatty():
        sys.stdout.write(json_text(line.removesuffix(b"\n")) + "\n")
    else:
        sys.stdout.buffer.write(line)


def _total(client: "NodeClient", domain: str | None) -> int:
    domains = client.get_node().domains
    return sum(held.count for name, held in domains.items() if domain in (None, name))


def _read(line: bytes, file: Path | None) -> tuple[int, str]:
    """The order key of the record in a line. Raises: CommandError: it is no such line."""
    try:
        raw = bytes(msgspec.json.decode(line, type=Entry).record)
        return msgspec.json.decode(raw, type=_Timed).timestamp, hashlib.sha256(raw).hexdigest()
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _another(file) from error


def _another(file: Path | None) -> CommandError:
    if file is None:
        return CommandError(Exit.UNREACHABLE, "unreachable", "that does not answer as a node does")
    return usage(f"{file} holds something other than an export: it is left as it is", "choose another name")
