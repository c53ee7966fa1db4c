"""`dnarc verify`: check the form and the signature of claims in a file, without a node and without a network.

It reads what nodes write: one `{signature, record}` per line, or a dict of claims. It verifies the bytes of each record
as they stand in the file. Blank lines and byte order marks are no fault, and after a bad line it goes on.
"""

import io
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from node.cli.commands.proof import verify_proof
from node.cli.input.entries import BYTE_ORDER_MARK, LINE_BYTES_MAX, Entry, read_lines
from node.cli.input.options import AsJson
from node.cli.output.early_end import explain_interruption
from node.cli.output.failures import CommandError, Exit, unreadable
from node.cli.output.progress import STEP, progress
from node.cli.output.screen import complain, show, table
from node.cli.output.text import plain

if TYPE_CHECKING:
    from rich.console import RenderableType

BAD_SHOWN_MAX: Final = 100
"""How many bad entries are listed. All are counted."""

_AT_ONCE: Final = 64
"""Records in one task of a thread. With fewer, handing over costs more than verifying, as measured for the node."""

_PIECES_AT_ONCE: Final = 64


Numbered = tuple[int, bytes | Entry]
"""The number of an entry, and the entry or its line."""


class Bad(msgspec.Struct, frozen=True):
    """What is wrong with one entry. `number` counts entries from 1; in a file of lines, this is the line's number."""

    number: int
    code: str
    detail: str


def verify(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Claims as nodes write them; - is stdin.")] = "-",
    is_proof: Annotated[
        bool, typer.Option("--proof", help="The file is the proof that a claim is final: check all that it shows.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check the form and the signature of every claim in a file. The exit code is 1 if any claim is bad.

    With --proof, check the proof of a witnessed domain. It believes nothing but the name of the domain, which it shows.
    """
    if is_proof:
        verify_proof(file, as_json)
        return
    if file == "-" and sys.stdin.isatty():
        complain("reading claims from the terminal: end them with Ctrl-D, or name a file")
    counts: Counter[str] = Counter()
    bad: list[Bad] = []
    so_far = explain_interruption(
        lambda: f"{counts['good']} good, {counts['bad']} bad so far", "the rest is not verified"
    )
    with so_far, progress("verify", None) as advance:
        for result in _check_entries(_read_entries(file)):
            counts["good" if result is None else "bad"] += 1
            if counts.total() % STEP == 0:
                advance(STEP)
            if result is not None and len(bad) < BAD_SHOWN_MAX:
                bad.append(result)
    answer = {"good": counts["good"], "bad": counts["bad"], "reasons": bad}
    show(answer, as_json, lambda: _summary(counts, bad))
    if bad:
        raise CommandError(Exit.REFUSED, "bad", f"{counts['bad']} of {counts.total()} claims are not valid")


def _summary(counts: Counter[str], bad: list[Bad]) -> "RenderableType":
    if not bad:
        return plain(_told(counts))
    rows = [(each.number, each.code, each.detail) for each in bad]
    return table(["#entry", "code", "~why"], rows, title=_told(counts))


def _told(counts: Counter[str]) -> str:
    return f"{counts['good']:,} good, {counts['bad']:,} bad"


def _read_entries(file: str) -> Iterator[Numbered]:
    """The lines of a listing, or the entries of a dict. The first line tells which of the two the file holds.

    If the first line is torn, it does not tell. The whole file then decides.
    """
    try:
        source = sys.stdin.buffer if file == "-" else Path(file).open("rb")  # noqa: SIM115 - the `with` below closes it
    except OSError as error:
        raise unreadable(file, error) from error
    with source:
        first = source.readline(LINE_BYTES_MAX)
        if is_line(first):
            yield from _read_lines(first, source)
            return
        data = first + source.read()
    try:
        yield from enumerate(_decode_dict(data), start=1)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        if not any(is_line(line.data) for line in read_lines(io.BytesIO(data)) if not line.is_blank):
            message = f"{file} holds neither lines of {{signature, record}} nor a dict of claims: {error}"
            raise CommandError(Exit.REFUSED, "malformed", message, "`dnarc export` writes such lines") from error
        yield from _read_lines(b"", io.BytesIO(data))


def is_line(line: bytes) -> bool:
    """Whether this is a line of a listing. An empty file is a listing without lines."""
    try:
        msgspec.json.decode(line.removeprefix(BYTE_ORDER_MARK), type=Entry)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return not line
    return True


def _read_lines(first: bytes, rest: IO[bytes]) -> Iterator[Numbered]:
    head = [line for line in read_lines(io.BytesIO(first)) if not line.is_blank]
    tail = (line for line in read_lines(rest, number=2 if first else 1) if not line.is_blank)
    return ((line.number, line.data) for line in chain(head, tail))


def _decode_dict(data: bytes) -> list[Entry]:
    entries = msgspec.json.decode(data.removeprefix(BYTE_ORDER_MARK), type=dict[str, msgspec.Raw])
    return [Entry(signature, record) for signature, record in entries.items()]


def _check_entries(entries: Iterable[Numbered]) -> Iterator[Bad | None]:
    """What is wrong with each entry, in order; None if it is good. libsodium frees the interpreter lock for threads."""
    numbered = iter(entries)
    with ThreadPoolExecutor() as threads:
        while pieces := list(islice(iter(lambda: list(islice(numbered, _AT_ONCE)), []), _PIECES_AT_ONCE)):
            yield from chain.from_iterable(threads.map(_check_all, pieces))


def _check_all(piece: list[Numbered]) -> list[Bad | None]:
    return [check(number, entry) for number, entry in piece]


def check(number: int, entry: bytes | Entry) -> Bad | None:
    """What is wrong with an entry; None if its record is valid."""
    from protocol.errors import Code, ProtocolError
    from protocol.records.record import decode_signed

    try:
        read = msgspec.json.decode(entry, type=Entry) if isinstance(entry, bytes) else entry
        signed = decode_signed(read.signature, bytes(read.record))
    except ProtocolError as error:
        return Bad(number, error.code, error.detail)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return Bad(number, Code.MALFORMED, f"not a line of {{signature, record}}: {error}")
    if not signed.is_genuine():
        return Bad(number, Code.BAD_SIGNATURE, "the key in `signedby` did not sign this record")
    return None
