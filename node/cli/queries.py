"""Questions: what a node holds of a domain, a label and its past, and why that label is whose it is.

`why` believes the node nothing: it takes the records, proves every signature, replays them here, and says so where the
node came to another verdict.
"""

import json
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from node.cli.failures import CommandError, Exit
from node.cli.options import DEFAULT_NODE, AsJson, Authority, Domain, Label, NodeUrl, connect
from node.cli.screen import compact, moment, plain, safe, short, show, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from node.client.http import NodeClient
    from protocol.records.record import SignedRecord
    from protocol.records.replay import Judged, Replay

OPTIONAL_LABEL = Annotated[str | None, typer.Argument(metavar="[LABEL]", help="One label; without it, all of them.")]


class Past(msgspec.Struct, frozen=True):
    """One record of a history, as a node tells it."""

    id: str
    signature: str
    verdict: str
    received: int
    record: msgspec.Raw


class History(msgspec.Struct, frozen=True):
    """The answer to `GET /claims/{domain}/{label}/history`."""

    domain: str
    label: str
    owner: str | None
    head: str | None
    contested: bool
    records: list[Past]


def get(
    domain: Domain,
    label: OPTIONAL_LABEL = None,
    node: NodeUrl = DEFAULT_NODE,
    tls_ca: Authority = None,
    as_json: AsJson = False,
) -> None:
    """Show the head of a label, or of every label of a domain. JSON: {signature: record}."""
    from node.client.http import path_of, signed_records

    with connect(node, tls_ca) as client:
        answer = client.ask("GET", path_of("claims", domain, *([] if label is None else [label])))
    answer.check()
    heads = signed_records(answer.body)
    forged = [head.signature for head in heads if label is not None and not head.is_genuine()]
    if forged:
        raise CommandError(Exit.REFUSED, "bad_signature", f"{node} shows a head that nobody signed", "ask another node")
    shown = {head.signature: msgspec.Raw(head.record.canonical) for head in heads}
    show(shown, as_json, lambda: _heads_table(heads) if label is None else _head_table(heads[0]))


def history(
    domain: Domain, label: Label, node: NodeUrl = DEFAULT_NODE, tls_ca: Authority = None, as_json: AsJson = False
) -> None:
    """Show every record of a label, accepted or not, oldest first."""
    past = _fetch_history(connect(node, tls_ca), domain, label)
    show(past, as_json, lambda: _history_table(past))


def why(
    domain: Domain, label: Label, node: NodeUrl = DEFAULT_NODE, tls_ca: Authority = None, as_json: AsJson = False
) -> None:
    """Replay a label here, and say of each record why it won or lost."""
    from protocol.records.replay import replay

    past = _fetch_history(connect(node, tls_ca), domain, label)
    records = _proven(node, past)
    replayed = replay([signed.record for signed in records])
    told = {each.id: each.verdict for each in past.records}
    differing = [each.record.id for each in replayed.judged if told[each.record.id] != each.verdict]
    show(_explained(past, replayed, differing), as_json, lambda: _tree(past, replayed, differing))
    if differing:
        raise CommandError(
            Exit.REFUSED, "verdicts_differ", f"{node} judges {len(differing)} records otherwise than replay"
        )


def domains(node: NodeUrl = DEFAULT_NODE, tls_ca: Authority = None, as_json: AsJson = False) -> None:
    """Show the domains of a node and how many records each has. JSON: {domain: {count, fingerprint, newest}}."""
    with connect(node, tls_ca) as client:
        known = client.get("/node")["domains"]
    rows = [
        (name, each.get("count"), moment(each.get("newest")), each.get("fingerprint")) for name, each in known.items()
    ]
    show(known, as_json, lambda: table(["~domain", "#records", "newest", "fingerprint"], rows))


def _fetch_history(client: "NodeClient", domain: str, label: str) -> History:
    from node.client.http import Unreachable, path_of

    with client:
        answer = client.ask("GET", path_of("claims", domain, label, "history"))
    answer.check()
    try:
        return msgspec.json.decode(answer.body, type=History)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreachable(f"{client.url} does not answer as a node does: {error}") from error


def _proven(node: str, past: History) -> list["SignedRecord"]:
    """The records, each of this label and signed. Raises: CommandError: one is not."""
    from protocol.records.record import SignedRecord, check_signature_spelling, decode

    proven = []
    for each in past.records:
        check_signature_spelling(each.signature)
        signed = SignedRecord(each.signature, decode(bytes(each.record)))
        names = (signed.record.id, signed.record.domain, signed.record.label)
        if names != (each.id, past.domain, past.label) or not signed.is_genuine():
            raise CommandError(Exit.REFUSED, "bad_signature", f"{node} shows a record that nobody signed: {each.id}")
        proven.append(signed)
    return proven


def _explained(past: History, replayed: "Replay", differing: list[str]) -> dict[str, Any]:
    from protocol.records.replay import REASONS

    tip = replayed.state.tip
    return {
        "domain": past.domain,
        "label": past.label,
        "owner": replayed.state.owner,
        "head": tip.id if tip else None,
        "contested": replayed.state.contested,
        "records": [
            {
                "id": each.record.id,
                "timestamp": each.record.timestamp,
                "signedby": each.record.signedby,
                "verdict": each.verdict,
                "accepted": each.verdict.is_accepted,
                "reason": REASONS[each.verdict],
                "after": each.tip,
            }
            for each in replayed.judged
        ],
        "differing": differing,
    }


def _tree(past: History, replayed: "Replay", differing: list[str]) -> "RenderableType":
    from rich.tree import Tree

    state = replayed.state
    contested = ", contested" if state.contested else ""
    tree = Tree(plain(f"{past.domain} {past.label}: owned by {state.owner or 'nobody'}{contested}", "bold"))
    for each in replayed.judged:
        branch = tree.add(_headline(each, is_head=state.tip is not None and each.record.id == state.tip.id))
        branch.add(plain(_because(each)))
        if each.record.newowner is not None:
            branch.add(plain(f"to {each.record.newowner}"))
        branch.add(plain(f"by {each.record.signedby}", "dim"))
        branch.add(plain(f"record {each.record.id}", "dim"))
        if each.record.id in differing:
            branch.add(plain("the node says otherwise", "bold red"))
    return tree


def _headline(each: "Judged", is_head: bool) -> "RenderableType":
    mark, style = ("won ", "green") if each.verdict.is_accepted else ("lost", "red")
    head = "  <- head" if is_head else ""
    return plain(
        f"{mark}  {each.verdict}  {moment(each.record.timestamp)}  by {short(each.record.signedby)}{head}", style
    )


def _because(each: "Judged") -> str:
    from protocol.records.replay import REASONS

    after = f" (judged after {short(each.tip)})" if each.tip else ""
    return REASONS[each.verdict] + after


def _head_table(head: "SignedRecord") -> "RenderableType":
    record = head.record
    fields = json.loads(record.canonical)
    shown = {
        "owner": record.signedby,
        "offered to": record.newowner,
        "written": moment(record.timestamp),
        "record": record.id,
        "signature": f"{head.signature[:64]}\n{head.signature[64:]}",
    }
    rows = [(name, value) for name, value in shown.items() if value is not None]
    rows += [(name, compact(value)) for name, value in fields.items() if name not in _NOT_THE_CLAIM]
    return _pairs(rows, title=f"{record.domain} {record.label}")


_NOT_THE_CLAIM = ("domain", "label", "signedby", "timestamp", "newowner", "prev")


def _pairs(rows: list[tuple[str, str]], title: str) -> "RenderableType":
    from rich.table import Table

    result = Table.grid(padding=(0, 2))
    result.title, result.title_justify = plain(title, "bold"), "left"
    for name, value in rows:
        result.add_row(
            plain(name, "dim"), "\n".join(map(safe, value.split("\n"))) if name == "signature" else plain(value)
        )
    return result


def _heads_table(heads: list["SignedRecord"]) -> "RenderableType":
    rows = [
        (record.label, short(record.signedby), moment(record.timestamp), compact(_claim_of(record.canonical)))
        for record in (head.record for head in heads)
    ]
    return table(["~label", "owner", "written", "~claim"], rows)


def _claim_of(canonical: bytes) -> dict[str, Any]:
    return {name: value for name, value in json.loads(canonical).items() if name not in _NOT_THE_CLAIM}


def _history_table(past: History) -> "RenderableType":
    rows = []
    for each in past.records:
        fields = json.loads(bytes(each.record))
        head = "<- head" if each.id == past.head else ""
        claim = compact(_claim_of(bytes(each.record)))
        rows.append((moment(fields["timestamp"]), each.verdict, short(fields["signedby"]), short(each.id), claim, head))
    contested = ", contested" if past.contested else ""
    title = f"{safe(past.domain)} {safe(past.label)}: owned by {past.owner or 'nobody'}{contested}"
    return table(["written", "verdict", "by", "record", "~claim", ""], rows, title=title)
