"""`dnarc export`: write every record of a node to a file, one record a line.

A listing is ordered by timestamp and id, so the last line of the file tells how far the file is. The next run asks for
records from that timestamp on, and skips the ids that the file has at that timestamp. A record that reaches the node
late, with an older timestamp, is in no later run of the same file. For a complete backup, export to a new file.
"""

import hashlib
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from io import UnsupportedOperation
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from node.cli.input.entries import Entry
from node.cli.input.options import DEFAULT_NODE, AsJson, Authority, NodeUrl, connect
from node.cli.output.early_end import explain_early_end
from node.cli.output.failures import CommandError, Exit, unwritable, usage
from node.cli.output.progress import STEP, progress
from node.cli.output.screen import json_text, reader_may_leave, show, warn
from node.cli.output.text import plain

if TYPE_CHECKING:
    from node.client.http import NodeClient

_TAIL_BYTES: Final = 2**20
"""Bytes in one read, when the end of the file is searched for its last timestamp."""


class FilePlace(msgspec.Struct):
    """How far a file is: the timestamp of its last record, and the ids that the file holds of that second.

    `written` counts the records of this run. `held` is how many records the node holds; None: not all are asked for.
    """

    timestamp: int = 0
    ids: set[str] = msgspec.field(default_factory=set)
    written: int = 0
    held: int | None = None

    @property
    def erased(self) -> int:
        """How many records the node has erased, so that they are not in the file; 0 if a part was asked for."""
        return 0 if self.held is None else max(0, self.held - self.written)

    def take(self, timestamp: int, record_id: str) -> bool:
        """Move on to this record. Returns whether the file does not hold it yet."""
        if timestamp == self.timestamp and record_id in self.ids:
            return False
        if timestamp > self.timestamp:
            self.timestamp, self.ids = timestamp, set()
        self.ids.add(record_id)
        return True


class _Timed(msgspec.Struct, frozen=True):
    timestamp: int


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; - for stdout.", show_default=False)],
    domain: Annotated[str | None, typer.Option("--domain", metavar="DOMAIN", help="Only this domain.")] = None,
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    as_json: AsJson = False,
) -> None:
    """Write every record, accepted or not, to a file, one {signature, record} a line.

    If the file exists, the export goes on where the file ends.
    """
    if str(file) == "-":
        with connect(node, tls_ca) as client, reader_may_leave():
            _copy_to_stdout(client, domain)
        return
    try:
        with file.open("a+b") as out, connect(node, tls_ca) as client:
            place = find_place(out, file)
            lines = closing(_new_lines(client, domain, place))
            with (
                explain_early_end(lambda: _describe(place, file) if place.written else "", "the same command goes on"),
                lines as new,
            ):
                for line in new:
                    out.write(line + b"\n")
    except OSError as error:
        raise _unwritable(file, error) from error
    answer = {"file": str(file), "records": place.written, "through": place.timestamp}
    show(answer, as_json, lambda: plain(_describe(place, file)))


def _unwritable(file: Path, error: OSError) -> CommandError:
    if isinstance(error, UnsupportedOperation):
        detail = f"{file} is a pipe, and an export goes on at the end of a file"
        return CommandError(Exit.MACHINE, "machine", detail, "`dnarc export -` writes to stdout")
    return unwritable(file, error)


def find_place(out: IO[bytes], file: Path) -> FilePlace:
    """How far the file is. If the last line is torn, cut it off.

    Raises:
        CommandError: the file holds something other than an export. It stays as it is.
    """
    end = out.seek(0, 2)
    place = FilePlace()
    lines = read_backwards(out, end)
    torn = next(lines, b"")
    newest: int | None = None
    for line in lines:
        timestamp, record_id = _read(line, file)
        newest = timestamp if newest is None else newest
        if timestamp != newest:
            break
        place.take(timestamp, record_id)
    if torn and newest is None:
        raise _not_an_export(file)
    out.truncate(end - len(torn))
    return place


def read_backwards(source: IO[bytes], end: int) -> Iterator[bytes]:
    """The text behind the last line feed, which may be empty, and then the lines before it, the last line first."""
    rest = b""
    while end > 0:
        start = max(0, end - _TAIL_BYTES)
        source.seek(start)
        *lines, last = (source.read(end - start) + rest).split(b"\n")
        rest, lines = (lines[0], [*lines[1:], last]) if lines else (last, [])
        yield from reversed(lines)
        end = start
    yield rest


def _copy_to_stdout(client: "NodeClient", domain: str | None) -> None:
    place = FilePlace()
    lines = closing(_new_lines(client, domain, place))
    explained = explain_early_end(lambda: f"{place.written} records written" if place.written else "", "begin again")
    with explained, lines as new:
        for line in new:
            if sys.stdout.isatty():
                sys.stdout.write(json_text(line) + "\n")
            else:
                sys.stdout.buffer.write(line + b"\n")


def _new_lines(client: "NodeClient", domain: str | None, place: FilePlace) -> Generator[bytes, None, None]:
    """The lines of the listing from the place on that the file does not hold yet."""
    from node.client.targets import path_of

    path = path_of("claims", *([] if domain is None else [domain]))
    total = _count_records(client, domain)
    place.held = None if place.timestamp else total
    with progress("export", total) as advance:
        for line in client.lines(path, {"history": "true", "since": str(place.timestamp)}):
            if place.take(*_read(line, None)):
                yield line
                place.written += 1
                if place.written % STEP == 0:
                    advance(STEP)
    if place.erased:
        warn(f"{place.erased:,} erased records are left out, because the node has no bodies of them")


def _count_records(client: "NodeClient", domain: str | None) -> int:
    domains = client.get_node().domains
    return sum(held.count for name, held in domains.items() if domain in (None, name))


def _describe(place: FilePlace, file: Path) -> str:
    return f"{place.written} records written to {file}"


def _read(line: bytes, file: Path | None) -> tuple[int, str]:
    """The timestamp and the id of the record in a line of the file, or, if `file` is None, of the node's answer.

    Raises:
        CommandError: the line is not a line of an export.
    """
    try:
        raw = bytes(msgspec.json.decode(line, type=Entry).record)
        return msgspec.json.decode(raw, type=_Timed).timestamp, hashlib.sha256(raw).hexdigest()
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _not_an_export(file) from error


def _not_an_export(file: Path | None) -> CommandError:
    if file is None:
        return CommandError(Exit.UNREACHABLE, "unreachable", "that does not answer as a node does")
    return usage(f"{file} holds something other than an export: it is left as it is", "choose another name")
