"""`dnarc proof`: save the proof that a claim of a witnessed domain is final.

`dnarc verify --proof` checks it, without a node and without a network.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.input.options import DEFAULT_NODE, AsJson, Authority, Domain, Label, NodeUrl, connect
from node.cli.output.failures import CommandError, Exit, unreadable
from node.cli.output.screen import reader_may_leave, show, table
from node.cli.output.text import many, moment, plain, short

if TYPE_CHECKING:
    from rich.console import RenderableType

    from protocol.records.record import SignedRecord
    from protocol.witness.proof import Proven

PROOF_BYTES_MAX = 256 * 2**20
"""More than the proof of any label needs: the whole file is read before it is checked."""


def proof(
    domain: Domain,
    label: Label,
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="Where the proof goes; - is stdout.")] = "-",
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    as_json: AsJson = False,
) -> None:
    """Save the proof of the newest final record of a label, one signed record a line."""
    from node.client.targets import proof_of

    with connect(node, tls_ca) as client:
        lines = client.lines(*proof_of(domain, label))
        if file == "-":
            with reader_may_leave():
                for line in lines:
                    sys.stdout.write(line.decode() + "\n")
            return
        held = list(lines)
    Path(file).write_bytes(b"".join(line + b"\n" for line in held))
    answer = {"file": file, "records": len(held)}
    show(answer, as_json, lambda: plain(f"{many(len(held), 'record')}: check them with `dnarc verify --proof {file}`"))


def verify_proof(file: str, as_json: bool) -> None:
    """Check the proof in this file, and show what it proves.

    Raises:
        CommandError: the proof does not show what it should.
    """
    from protocol.errors import ProtocolError
    from protocol.witness.proof import check_proof

    records = _read_records(file)
    domain, label = _place_of(file, records)
    try:
        proven = check_proof(domain, label, records)
    except ProtocolError as error:
        raise CommandError(Exit.REFUSED, error.code, error.detail) from error
    head = proven.head
    answer = {
        "domain": domain,
        "label": label,
        "owner": head.signedby,
        "head": head.id,
        "records": len(proven.chain),
        "quorum": proven.policy.quorum,
        "witnesses": len(proven.policy.witnesses),
    }
    show(answer, as_json, lambda: _table(domain, label, proven))


def _read_records(file: str) -> "list[SignedRecord]":
    from node.client.answers import signed_record_of_line
    from protocol.errors import ProtocolError

    try:
        source = sys.stdin.buffer if file == "-" else Path(file).open("rb")  # noqa: SIM115 - the `with` closes it
    except OSError as error:
        raise unreadable(file, error) from error
    with source:
        lines = source.read(PROOF_BYTES_MAX).splitlines()
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(signed_record_of_line(line))
        except ProtocolError as error:
            detail = f"line {number} of {file} is no signed record: {error}"
            raise CommandError(Exit.REFUSED, "malformed", detail, "`dnarc proof` writes such lines") from error
    return records


def _place_of(file: str, records: "list[SignedRecord]") -> tuple[str, str]:
    """The domain and the label that the proof is about: its only label without `@`."""
    places = {(each.record.domain, each.record.label) for each in records if not each.record.label.startswith("@")}
    if len(places) != 1:
        detail = f"{file} holds claims of {len(places)} labels, and a proof is about one"
        raise CommandError(Exit.REFUSED, "malformed", detail, "`dnarc proof DOMAIN LABEL FILE` saves one")
    return places.pop()


def _table(domain: str, label: str, proven: "Proven") -> "RenderableType":
    policy = proven.policy
    rows = [
        (number, moment(each.timestamp), short(each.signedby), short(each.id))
        for number, each in enumerate(proven.chain, 1)
    ]
    title = f"{label} of {domain} is proven: {policy.quorum} of {len(policy.witnesses)} witnesses decided each record"
    return table(["#", "written", "by", "record"], rows, title=title)
