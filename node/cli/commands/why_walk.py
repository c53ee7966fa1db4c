"""`dnarc why` in a witnessed domain: the walk, place by place, and what each record won or lost by.

The command fetches the proof of the final records and checks it here. It believes nothing but the name of the domain.
What is not final yet is the node's word, because the witnesses are still to decide.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from node.cli.output.failures import CommandError, Exit
from node.cli.output.screen import show
from node.cli.output.text import plain, short

if TYPE_CHECKING:
    from rich.console import RenderableType

    from node.client.http import NodeClient
    from protocol.witness.proof import Proven


class WalkedRecord(msgspec.Struct, frozen=True):
    """One record of the history of a witnessed label. Times are milliseconds since the Unix epoch."""

    id: str
    signature: str
    verdict: str
    record: msgspec.Raw
    seen: dict[str, int]
    ordered: int | None
    decided: bool
    votes: dict[str, int] = {}
    commits: dict[str, int] = {}

    @property
    def fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = msgspec.json.decode(self.record)
        return fields


class WalkedHistory(msgspec.Struct, frozen=True):
    """The answer to `GET …/history` in a witnessed domain."""

    domain: str
    label: str
    owner: str | None
    head: str | None
    final: str | None
    certainty: str | None
    records: list[WalkedRecord]


def why_walk(client: "NodeClient", domain: str, label: str, as_json: bool) -> None:
    """Show the walk of a label, with the proof of its final records.

    Raises:
        CommandError: the node calls a record final that its proof does not show.
    """
    from node.client.targets import history_of

    with client:
        past = client.read(*history_of(domain, label), WalkedHistory)
        proven = None if past.final is None else _prove(client, past)
    show(_explain(past, proven), as_json, lambda: _tree(past, proven))


def _prove(client: "NodeClient", past: WalkedHistory) -> "Proven":
    from node.client.answers import signed_record_of_line
    from node.client.targets import proof_of
    from protocol.errors import ProtocolError
    from protocol.witness.proof import check_proof

    lines = client.lines(*proof_of(past.domain, past.label))
    try:
        return check_proof(past.domain, past.label, list(map(signed_record_of_line, lines)))
    except ProtocolError as error:
        detail = f"{client.url} calls {past.final} final, and its proof does not show it: {error}"
        raise CommandError(Exit.REFUSED, "not_proven", detail, "ask another node") from error


def _explain(past: WalkedHistory, proven: "Proven | None") -> dict[str, Any]:
    return {
        "domain": past.domain,
        "label": past.label,
        "owner": past.owner,
        "head": past.head,
        "certainty": past.certainty,
        "final": past.final,
        "proven": 0 if proven is None else len(proven.chain),
        "records": [
            {
                "id": each.id,
                "prev": each.fields.get("prev"),
                "signedby": each.fields["signedby"],
                "verdict": each.verdict,
                "seen": each.seen,
                "ordered": each.ordered,
                "decided": each.decided,
                "votes": each.votes,
                "commits": each.commits,
                "reason": _reason(each),
            }
            for each in past.records
        ],
    }


def _tree(past: WalkedHistory, proven: "Proven | None") -> "RenderableType":
    from rich.tree import Tree

    tree = Tree(plain(_title(past, proven), "bold"))
    for number, (place, rest) in enumerate(_places(past), start=1):
        branch = tree.add(plain("records off the chain" if place is None else f"place {number}", "dim"))
        for each in rest:
            is_on = place is not None and each.id == place.id
            leaf = branch.add(
                plain(_headline(each, is_on=is_on, is_head=each.id == past.head), "green" if is_on else "red")
            )
            leaf.add(plain(_reason(each)))
            for witness in sorted({*each.seen, *each.votes, *each.commits}):
                leaf.add(plain(f"witness {short(witness)} {', '.join(_said(each, witness))}", "dim"))
            leaf.add(plain(f"record {each.id}", "dim"))
    return tree


def _title(past: WalkedHistory, proven: "Proven | None") -> str:
    words = f"{past.domain} {past.label}: owned by {past.owner or 'nobody'}"
    if past.head is None:
        return f"{words}: too few witnesses have seen its records"
    if past.certainty == "final" and proven is not None:
        policy = proven.policy
        return (
            f"{words}, and final: {policy.quorum} of {len(policy.witnesses)} witnesses decided every record, which is "
            f"proven here. To change it, {policy.quorum} witnesses would have to lie together"
        )
    return f"{words}, but not final yet: it may change until the witnesses decide"


def _places(past: WalkedHistory) -> Iterable[tuple[WalkedRecord | None, list[WalkedRecord]]]:
    """The records by place in the chain, the one that stands there first; at last those that stand beside the chain."""
    by_id = {each.id: each for each in past.records}
    slots: dict[str | None, list[WalkedRecord]] = defaultdict(list)
    for each in past.records:
        slots[each.fields.get("prev")].append(each)
    chain: list[WalkedRecord] = []
    place = None if past.head is None else by_id.get(past.head)
    while place is not None:
        chain.insert(0, place)
        place = by_id.get(str(place.fields.get("prev")))
    for each in chain:
        rivals = slots.pop(each.fields.get("prev"))
        yield each, [each, *(rival for rival in rivals if rival is not each)]
    left = [each for slot in slots.values() for each in slot]
    if left:
        yield None, left


def _headline(each: WalkedRecord, *, is_on: bool, is_head: bool) -> str:
    mark = "won " if is_on else "lost"
    if each.verdict == "pending":
        mark = "open"
    head = "  <- head" if is_head else ""
    return f"{mark}  {each.verdict}  by {short(each.fields['signedby'])}{head}"


def _said(each: WalkedRecord, witness: str) -> list[str]:
    """What this witness said of the record: when it saw it, and the last round in which it voted and committed."""
    words = [f"saw it at {_moment(each.seen[witness])}"] if witness in each.seen else []
    words += [f"votes for it in round {each.votes[witness]}"] if witness in each.votes else []
    return words + ([f"commits it in round {each.commits[witness]}"] if witness in each.commits else [])


def _reason(each: WalkedRecord) -> str:
    from protocol.records.replay import Verdict
    from protocol.witness.walk import WITNESSED_REASONS

    reason = WITNESSED_REASONS.get(Verdict(each.verdict), "") if each.verdict in set(Verdict) else ""
    if each.decided:
        return f"{reason}; a quorum of witnesses decided it"
    if each.ordered is not None:
        return f"{reason}; an honest witness had seen it by {_moment(each.ordered)}"
    return reason


def _moment(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(sep=" ", timespec="milliseconds")[:-6] + "Z"
    except (OverflowError, ValueError):
        return f"{ms} ms"
