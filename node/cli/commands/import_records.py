"""`dnarc import`: give the lines that `dnarc export` writes to a node, in batches.

A file beside the input (`FILE.import`) notes how many lines the node has committed, so that an interrupted import goes
on there. The note only saves time, because a record that the node has already is `known` and changes nothing. With the
admin token, a node takes records of any age. Without the token, it takes only records that a client could write now.

A bad line never ends an import: it is reported with its number, and the lines after it are taken.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from node.cli.commands.import_report import ImportReport
from node.cli.input.entries import EntryLine, entry_of, read_lines
from node.cli.input.options import DEFAULT_NODE, AsJson, Authority, Data, NodeUrl, Token, connect, find_token
from node.cli.output.early_end import explain_early_end
from node.cli.output.failures import CommandError, Exit, unreadable
from node.cli.output.progress import progress
from node.cli.output.screen import show, warn

if TYPE_CHECKING:
    from node.client.answers import Answer
    from node.client.http import NodeClient

BATCH_RECORDS_MAX: Final = 1_000
BATCH_BYTES_MAX: Final = 8 * 2**20

TRIES_MAX: Final = 20
"""How often a batch is sent to a node that is overloaded, before the import ends. It can be resumed then."""

WAIT_S: Final = 1.0
"""Pause before the next try, if the node names no pause."""

WAIT_S_MAX: Final = 30.0

_STDIN: Final = Path("-")


class Mark(msgspec.Struct, frozen=True):
    """How far a node has taken the file: the lines from the start, and their bytes."""

    node: str
    lines: int
    bytes: int


class LineBatch(msgspec.Struct):
    """Records for one request, and the number of each one's line. `end` is the last line that the batch covers."""

    records: dict[str, msgspec.Raw]
    numbers: dict[str, int]
    size_bytes: int = 0
    end: EntryLine | None = None

    def has_room(self, signature: str, size_bytes: int) -> bool:
        """Whether a record fits. A signature can stand only once in a request."""
        is_full = len(self.records) == BATCH_RECORDS_MAX or self.size_bytes + size_bytes > BATCH_BYTES_MAX
        return not is_full and signature not in self.records


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file that `dnarc export` wrote; - for stdin.", show_default=False)
    ],
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    token: Token = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Give the records in a file to a node. Ends with 1 if a record is refused or a line is broken.

    A bad line is reported with its number, and the lines after it are taken. After Ctrl-C, the same command goes on
    where the import ended.
    """
    found = find_token(token, data)
    if found is None:
        warn("without the admin token (--data DIR, --token) a node takes new records only")
    report = ImportReport()
    remedy = "give the same lines again" if file == _STDIN else "the same command goes on"
    explained = explain_early_end(lambda: report.progress, remedy)
    with _open(file) as source, connect(node, tls_ca, found) as client, explained:
        _import(client, file, source, report)
    show(report.answer(), as_json, report.summary)
    report.warn_of_skipped()
    if report.faults:
        raise CommandError(Exit.REFUSED, *report.failure())


@contextmanager
def _open(file: Path) -> Iterator[IO[bytes]]:
    if file == _STDIN:
        yield sys.stdin.buffer
        return
    try:
        source = file.open("rb")
    except OSError as error:
        raise unreadable(file, error) from error
    with source:
        yield source


def _import(client: "NodeClient", file: Path, source: IO[bytes], report: ImportReport) -> None:
    node_key = client.get_node().node
    is_file = file != _STDIN and source.seekable()  # a pipe has no position to return to
    mark_file = file.with_name(f"{file.name}.import") if is_file else None
    size_bytes = file.stat().st_size if is_file else None
    start = _read_mark(mark_file, node_key, size_bytes) or Mark(node_key, 0, 0)
    if is_file:
        source.seek(start.bytes)
    report.first_line = start.lines + 1
    done_bytes = start.bytes
    with progress("import (bytes)", None if size_bytes is None else size_bytes - start.bytes) as advance:
        for batch in batches(read_lines(source, start.lines + 1, start.bytes), report):
            assert batch.end is not None, "a batch covers a line"
            report.take(_put(client, batch.records), batch.numbers, batch.end.number)
            mark_file = _write_mark(mark_file, Mark(node_key, batch.end.number, batch.end.end))
            advance(batch.end.end - done_bytes)
            done_bytes = batch.end.end
    if mark_file is not None:
        mark_file.unlink(missing_ok=True)


def _read_mark(mark_file: Path | None, node_key: str, size_bytes: int | None) -> Mark | None:
    """The mark, if it is about this node and within the file."""
    if mark_file is None or size_bytes is None:
        return None
    try:
        mark = msgspec.json.decode(mark_file.read_bytes(), type=Mark)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return mark if mark.node == node_key and mark.lines >= 0 and 0 <= mark.bytes <= size_bytes else None


def _write_mark(mark_file: Path | None, mark: Mark) -> Path | None:
    """Note the progress. Returns None if there is no place for the note, for example in a read-only folder."""
    if mark_file is None:
        return None
    try:
        mark_file.write_bytes(msgspec.json.encode(mark))
    except OSError as error:
        warn(f"{mark_file} cannot be written, so an interrupted import begins again at line 1: {error.strerror}")
        return None
    return mark_file


def batches(lines: Iterator[EntryLine], report: ImportReport) -> Iterator[LineBatch]:
    """The entries in these lines, in batches that fit a request. Bad lines and lines to skip go to the report."""
    from protocol.errors import ProtocolError

    batch = LineBatch({}, {})
    for line in lines:
        report.see(line)
        if not line.is_blank:
            try:
                entry = entry_of(line)
            except ProtocolError as error:
                report.add_broken(line, error.code, error.detail)
            else:
                if not batch.has_room(entry.signature, len(line.data)):
                    yield batch
                    batch = LineBatch({}, {})
                batch.records[entry.signature] = entry.record
                batch.numbers[entry.signature] = line.number
                batch.size_bytes += len(line.data) + 1
        batch.end = line
    if batch.end is not None:
        yield batch


def _put(client: "NodeClient", records: dict[str, msgspec.Raw]) -> dict[str, dict[str, Any]]:
    """The node's answer about each record.

    A record can make the whole request unreadable. The request is then sent again in halves, so that only this record
    is refused.

    Raises:
        NodeError: the node takes no requests from us, or stays overloaded.
        Unreachable: the node does not answer.
    """
    from node.client.answers import refusal

    if not records:
        return {}
    answer = _send(client, msgspec.json.encode(records))
    if answer.status not in (400, 413):
        outcomes: dict[str, dict[str, Any]] = answer.value()
        return outcomes
    if len(records) == 1:
        error = refusal(answer)
        return {signature: {"status": "refused", "code": error.code, "detail": error.detail} for signature in records}
    entries = list(records.items())
    middle = len(entries) // 2
    return _put(client, dict(entries[:middle])) | _put(client, dict(entries[middle:]))


def _send(client: "NodeClient", body: bytes) -> "Answer":
    """The answer to a batch. If the node is overloaded, send the batch again after the pause that the node names."""
    from node.client.answers import refusal

    answer, tries = client.ask("PUT", "/claims", body=body), 1
    while answer.status in (429, 503):
        if tries == TRIES_MAX:
            raise refusal(answer)
        time.sleep(WAIT_S if answer.retry_after_s is None else min(answer.retry_after_s, WAIT_S_MAX))
        answer, tries = client.ask("PUT", "/claims", body=body), tries + 1
    return answer
