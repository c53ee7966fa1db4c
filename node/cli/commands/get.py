"""`dnarc get`: the head of one label, or the heads of all labels of a domain or of a key.

A listing is shown while it arrives. So a large listing needs little memory, and `dnarc get DOMAIN | head` ends at once.
"""

import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from node.cli.input.heads import get_head
from node.cli.input.options import DEFAULT_NODE, AsJson, Authority, NodeUrl, connect
from node.cli.output.failures import usage
from node.cli.output.screen import console, json_text, reader_may_leave, show
from node.cli.output.text import compact, moment, short
from node.client.content import claim_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from node.client.http import NodeClient
    from protocol.records.record import SignedRecord

ROWS_AT_ONCE: Final = 100
"""Rows that are laid out together. The first of them decide the widths of all rows."""

PAGE_HEADS_MAX: Final = 10_000
"""The largest `limit` that a node takes. To a larger limit, the command itself counts."""


class HeadsQuestion(msgspec.Struct, frozen=True):
    """Which heads the user wants. `domain` None means all domains."""

    domain: str | None
    prefix: str | None
    signedby: str | None
    limit: int | None

    @property
    def parameters(self) -> dict[str, str]:
        """The query of the request."""
        limit = self.limit if self.limit is not None and self.limit <= PAGE_HEADS_MAX else None
        given = (("prefix", self.prefix), ("signedby", self.signedby), ("limit", limit))
        return {name: str(value) for name, value in given if value is not None}


def get(
    domain: Annotated[
        str | None, typer.Argument(metavar="DOMAIN", help="The domain. With --signedby, all domains by default.")
    ] = None,
    label: Annotated[str | None, typer.Argument(metavar="LABEL", help="The label; by default, all labels.")] = None,
    prefix: Annotated[
        str | None, typer.Option("--prefix", metavar="TEXT", help="Only labels that begin with this text.")
    ] = None,
    signedby: Annotated[
        str | None, typer.Option("--signedby", metavar="KEY", help="Only labels that this public key owns.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Show at most this many labels.")] = None,
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    as_json: AsJson = False,
) -> None:
    """Show the head of one label, of every label of a domain, or of every label that a key owns.

    JSON: {signature: record}, with one record a line. The signature of a single head is checked here; `dnarc verify`
    checks those of a listing.
    """
    question = HeadsQuestion(domain, prefix, signedby, limit)
    _check(question, label)
    with connect(node, tls_ca) as client:
        if domain is not None and label is not None:
            head = get_head(client, domain, label)
            answer = {head.signature: msgspec.Raw(head.record.canonical)}
            show(answer, as_json, lambda: _head_table(head))
            return
        with closing(_heads(client, question)) as heads, reader_may_leave():
            (_write_json if as_json else _print_table)(heads, question)


def _check(question: HeadsQuestion, label: str | None) -> None:
    """Raises: CommandError: the arguments do not go together."""
    from protocol.signing import is_key

    if question.domain is None and question.signedby is None:
        raise usage("name a DOMAIN, or a key by --signedby", "`dnarc domains` lists the domains")
    if question.signedby is not None and question.prefix is not None:
        raise usage("--prefix and --signedby exclude each other")
    if label is not None and (question.prefix, question.signedby, question.limit) != (None, None, None):
        raise usage("--prefix, --signedby and --limit choose among several labels: leave LABEL out")
    if question.signedby is not None and not is_key(question.signedby):
        raise usage(f"{question.signedby} is not a public key: 64 lower-case hex digits")


def _heads(client: "NodeClient", question: HeadsQuestion) -> Generator["SignedRecord", None, None]:
    """The heads, as they arrive.

    Raises:
        NodeError: the node refused.
        ProtocolError: a line holds no record.
        Unreachable: no node answers, or the answer broke off.
    """
    from node.client.answers import signed_record_of_line
    from node.client.targets import path_of

    path = path_of("claims", *([] if question.domain is None else [question.domain]))
    with closing(client.lines(path, question.parameters)) as lines:
        for line in islice(lines, question.limit):
            yield signed_record_of_line(line)


def _write_json(heads: "Iterable[SignedRecord]", _question: HeadsQuestion) -> None:
    """Write one object, with one entry on each line."""
    begin = "{"
    for head in heads:
        sys.stdout.write(f'{begin}"{head.signature}":{json_text(head.record.canonical)}')
        begin = ",\n"
    sys.stdout.write("{}\n" if begin == "{" else "}\n")


def _print_table(heads: Iterator["SignedRecord"], question: HeadsQuestion) -> None:
    from node.cli.output.tables import Sheet

    out = console()
    columns = [*(["~domain"] if question.domain is None else []), "~label", "owner", "written", "~claim"]
    layout, count = None, 0
    while (rows := [_row(head, question) for head in islice(heads, ROWS_AT_ONCE)]) or layout is None:
        sheet = Sheet(columns, rows)
        begins = layout is None
        layout = layout or sheet.layout(out.width)
        for line in [*(sheet.head(out, layout) if begins else ()), *sheet.body(out, layout, out.width, count)]:
            out.print(line, soft_wrap=True)
        count += len(rows)


def _row(head: "SignedRecord", question: HeadsQuestion) -> list[str]:
    record = head.record
    domain = [record.domain] if question.domain is None else []
    return [
        *domain,
        record.label,
        short(record.signedby),
        moment(record.timestamp),
        compact(claim_of(record.canonical)),
    ]


def _head_table(head: "SignedRecord") -> "RenderableType":
    from node.cli.output.tables import Pairs

    record = head.record
    about = {
        "owner": record.signedby,
        "offered to": record.newowner,
        "written": moment(record.timestamp),
        "record": record.id,
        "signature": head.signature,
    }
    claim = {name: compact(value) for name, value in claim_of(record.canonical).items()}
    rows = [*about.items(), *claim.items()]
    return Pairs([(name, value) for name, value in rows if value is not None], f"{record.domain} {record.label}")
