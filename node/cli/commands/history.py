"""`dnarc history` and `dnarc why`: the past of a label, and why the label belongs to its owner.

`why` does not trust the node. It takes the records, verifies every signature, replays the records here, and says where
the node's verdicts differ.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from node.cli.input.heads import claim_of
from node.cli.input.options import DEFAULT_NODE, AsJson, Authority, Domain, Label, NodeUrl, connect
from node.cli.output.failures import CommandError, Exit
from node.cli.output.screen import show, table
from node.cli.output.text import compact, moment, plain, short

if TYPE_CHECKING:
    from rich.console import RenderableType

    from node.client.http import NodeClient
    from protocol.records.record import SignedRecord
    from protocol.records.replay import Judged, Replay


class PastRecord(msgspec.Struct, frozen=True):
    """One record of a history, as a node shows it."""

    id: str
    signature: str
    verdict: str
    received: int
    record: msgspec.Raw
    seen: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    ordered: int | msgspec.UnsetType | None = msgspec.UNSET
    decided: bool | msgspec.UnsetType = msgspec.UNSET


class History(msgspec.Struct, frozen=True):
    """The answer to `GET /claims/{domain}/{label}/history`."""

    domain: str
    label: str
    owner: str | None
    head: str | None
    contested: bool
    records: list[PastRecord]
    certainty: str | msgspec.UnsetType | None = msgspec.UNSET
    final: str | msgspec.UnsetType | None = msgspec.UNSET


def history(
    domain: Domain, label: Label, node: NodeUrl = DEFAULT_NODE, tls_ca: Authority = None, as_json: AsJson = False
) -> None:
    """Show every record of a label, accepted or refused, oldest first."""
    past = _fetch(connect(node, tls_ca), domain, label)
    show(past, as_json, lambda: _table(past))


def why(
    domain: Domain, label: Label, node: NodeUrl = DEFAULT_NODE, tls_ca: Authority = None, as_json: AsJson = False
) -> None:
    """Replay the records of a label here, and say of each record why it was accepted or refused.

    In a witnessed domain, show the walk instead: what the witnesses saw and decided, and the proof of what is final.
    """
    from node.cli.commands.why_walk import why_walk
    from protocol.records.record import is_witnessed
    from protocol.records.replay import replay

    client = connect(node, tls_ca)
    if is_witnessed(domain):
        why_walk(client, domain, label, as_json)
        return
    past = _fetch(client, domain, label)
    replayed = replay([signed.record for signed in _verify(client.url, past)])
    shown = {each.id: each.verdict for each in past.records}
    differing = [each.record.id for each in replayed.judged if shown[each.record.id] != each.verdict]
    show(_explain(past, replayed, differing), as_json, lambda: _tree(past, replayed, differing))
    if differing:
        detail = f"{client.url} gives {len(differing)} records another verdict than replay does"
        raise CommandError(Exit.REFUSED, "verdicts_differ", detail, "its operator should run `dnarc rebuild`")


def _fetch(client: "NodeClient", domain: str, label: str) -> History:
    from node.client.http import history_of

    with client:
        return client.read(*history_of(domain, label), History)


def _verify(url: str, past: History) -> list["SignedRecord"]:
    """The records. Raises: CommandError: a record is of another label, or nobody signed it."""
    from protocol.records.record import decode_signed

    verified = []
    for each in past.records:
        signed = decode_signed(each.signature, bytes(each.record))
        names = (signed.record.id, signed.record.domain, signed.record.label)
        if names != (each.id, past.domain, past.label) or not signed.is_genuine():
            detail = f"{url} shows a record that nobody signed: {each.id}"
            raise CommandError(Exit.REFUSED, "bad_signature", detail, "ask another node")
        verified.append(signed)
    return verified


def _explain(past: History, replayed: "Replay", differing: list[str]) -> dict[str, Any]:
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
    tree = Tree(plain(_title(past, state.owner, is_contested=state.contested), "bold"))
    for each in replayed.judged:
        branch = tree.add(_headline(each, is_head=state.tip is not None and each.record.id == state.tip.id))
        branch.add(plain(_reason(each)))
        if each.record.newowner is not None:
            branch.add(plain(f"to {each.record.newowner}"))
        branch.add(plain(f"by {each.record.signedby}", "dim"))
        branch.add(plain(f"record {each.record.id}", "dim"))
        if each.record.id in differing:
            branch.add(plain("the node has another verdict", "bold red"))
    return tree


def _headline(each: "Judged", is_head: bool) -> "RenderableType":
    mark, style = ("won ", "green") if each.verdict.is_accepted else ("lost", "red")
    head = "  <- head" if is_head else ""
    return plain(
        f"{mark}  {each.verdict}  {moment(each.record.timestamp)}  by {short(each.record.signedby)}{head}", style
    )


def _reason(each: "Judged") -> str:
    from protocol.records.replay import REASONS

    after = f" (judged after {short(each.tip)})" if each.tip else ""
    return REASONS[each.verdict] + after


def _table(past: History) -> "RenderableType":
    from protocol.records.record import decode

    rows = []
    for each in past.records:
        record = decode(bytes(each.record))
        head = "<- head" if each.id == past.head else ""
        if each.decided is True:
            head = f"decided {head}".rstrip()
        claim = compact(claim_of(record.canonical))
        rows.append((moment(record.timestamp), each.verdict, short(record.signedby), short(each.id), head, claim))
    title = _title(past, past.owner, is_contested=past.contested)
    if past.certainty:
        title += f", {past.certainty}"
    return table(["written", "verdict", "by", "record", "", "~claim"], rows, title=title)


def _title(past: History, owner: str | None, *, is_contested: bool) -> str:
    contested = ", contested" if is_contested else ""
    return f"{past.domain} {past.label}: owned by {owner or 'nobody'}{contested}"
