"""`dnarc history` and `dnarc why`: the past of a label, and why the label belongs to its owner.

`why` does not trust the node. It takes the records, verifies every signature, replays the records here, and says where
the node's verdicts differ.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from node.cli.input.options import DEFAULT_NODE, AsJson, Authority, Domain, Label, NodeUrl, connect
from node.cli.output.failures import CommandError, Exit
from node.cli.output.screen import show, table
from node.cli.output.text import compact, moment, plain, short
from node.client.content import claim_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from node.client.history import ShownHistory
    from node.client.http import NodeClient
    from protocol.records.replay import Judged, Replay


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

    In a witnessed domain, show the walk instead: what the witnesses saw and decided, and the proof of the final
    records.
    """
    from node.cli.commands.why_walk import why_walk
    from node.client.history import verify_past
    from protocol.records.record import is_witnessed
    from protocol.records.replay import replay

    client = connect(node, tls_ca)
    if is_witnessed(domain):
        why_walk(client, domain, label, as_json)
        return
    past = _fetch(client, domain, label)
    replayed = replay([verify_past(each, domain, label).record for each in past.records])
    shown = {each.id: each.verdict for each in past.records}
    differing = [each.record.id for each in replayed.judged if shown[each.record.id] != each.verdict]
    show(_explain(past, replayed, differing), as_json, lambda: _tree(past, replayed, differing))
    if differing:
        detail = f"{client.url} gives {len(differing)} records another verdict than replay does"
        raise CommandError(Exit.REFUSED, "verdicts_differ", detail, "its operator should run `dnarc rebuild`")


def _fetch(client: "NodeClient", domain: str, label: str) -> "ShownHistory":
    from node.client.history import ShownHistory
    from node.client.targets import history_of

    with client:
        return client.read(*history_of(domain, label), ShownHistory)


def _explain(past: "ShownHistory", replayed: "Replay", differing: list[str]) -> dict[str, Any]:
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


def _tree(past: "ShownHistory", replayed: "Replay", differing: list[str]) -> "RenderableType":
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


def _table(past: "ShownHistory") -> "RenderableType":
    from protocol.records.record import decode

    rows = []
    for each in past.records:
        record = decode(bytes(each.record))
        head = "<- head" if each.id == past.head else ""
        if each.decided is True:
            head = f"decided {head}".rstrip()
        claim = compact(claim_of(record.canonical))
        if each.erased is not msgspec.UNSET:
            claim = f"erased: {each.erased.reason}" if each.erased.reason else "erased"
        rows.append((moment(record.timestamp), each.verdict, short(record.signedby), short(each.id), head, claim))
    title = _title(past, past.owner, is_contested=past.contested)
    if past.certainty:
        title += f", {past.certainty}"
    return table(["written", "verdict", "by", "record", "", "~claim"], rows, title=title)


def _title(past: "ShownHistory", owner: str | None, *, is_contested: bool) -> str:
    contested = ", contested" if is_contested else ""
    return f"{past.domain} {past.label}: owned by {owner or 'nobody'}{contested}"
