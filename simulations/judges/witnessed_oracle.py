"""The oracle of witnessed domains: the contract written a second time, slowly and simply, to hold nodes against it.

It shares no code with `protocol.witness`, so a mistake there is not repeated here. It keeps nothing: each answer is
worked out from the whole set of records, in the order of the contract's sections: the policy, what the receipts say,
the walk.
"""

import base64
import hashlib
import json
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from typing import Any

import msgspec

from protocol.records.record import Record

NAME_CHARACTERS = 53
"""Of the last part of a witnessed domain's name: `w` and 52 characters of base32."""


class Receipt(msgspec.Struct, frozen=True):
    """What a receipt says. `votes` and `commits` are pairs of a round and a record id; `times` by record id, in ms."""

    witness: str
    prev: str | None
    at: int
    times: dict[str, int]
    votes: frozenset[tuple[int, str]]
    commits: frozenset[tuple[int, str]]


class Told(msgspec.Struct, frozen=True):
    """The state of a label. `final`: how many records of the chain are final. `ordered`: in ms, None: pending."""

    chain: list[str]
    final: int
    verdicts: dict[str, str]
    ordered: dict[str, int | None]


class Policy(msgspec.Struct, frozen=True):
    """Who the witnesses of a domain are, and how many of them may lie."""

    witnesses: list[str]
    faulty: int

    @property
    def quorum(self) -> int:
        return (len(self.witnesses) + self.faulty) // 2 + 1


def tell(records: Collection[Record]) -> dict[str, Told]:
    """The state of every label of one domain, of which these are all records."""
    policy = policy_among(records)
    receipts = receipts_among(records, policy)
    dates = _dates(receipts)
    decided = decided_by(receipts.values(), policy)
    labels: dict[str, list[Record]] = {}
    for record in records:
        if not record.label.startswith("@"):
            labels.setdefault(record.label, []).append(record)
    faulty = policy.faulty if policy else 0
    ordered = {each: sorted(times.values())[faulty] for each, times in dates.items() if len(times) > faulty}
    return {label: _walk(history, ordered, decided) for label, history in labels.items()}


def policy_among(records: Iterable[Record]) -> Policy | None:
    """The policy that the domain's name commits to, if one of these records is it."""
    for record in records:
        if record.label != "@policy" or record.prev is not None:
            continue
        body = json.loads(record.canonical)
        content = {key: body.get(key) for key in ("faulty", "witnesses")}
        if len(body) == 6 and _is_policy(content) and _digest(content) == record.domain[-NAME_CHARACTERS:]:
            return Policy(content["witnesses"], content["faulty"])
    return None


def _is_policy(content: dict[str, Any]) -> bool:
    witnesses, faulty = content["witnesses"], content["faulty"]
    is_list = isinstance(witnesses, list) and 1 <= len(witnesses) <= 16 and sorted(set(witnesses)) == witnesses
    return is_list and type(faulty) is int and faulty >= 0 and len(witnesses) >= 3 * faulty + 1


def _digest(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return "w" + base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower().rstrip("=")


def receipts_among(records: Iterable[Record], policy: Policy | None) -> dict[str, Receipt]:
    """The receipts of witnesses that are well-formed, by record id."""
    found = {}
    for record in records:
        if policy is not None and record.label == f"@seen/{record.signedby}" and record.signedby in policy.witnesses:
            receipt = read_receipt(record.canonical)
            if receipt is not None:
                found[record.id] = receipt
    return found


@lru_cache(5_000)
def read_receipt(canonical: bytes) -> Receipt | None:
    """What this record says as a receipt; None if it is malformed. Cached, because each node holds the same ones."""
    body = json.loads(canonical)
    at, first, seen = body.get("at"), body.get("first", {}), body.get("seen", {})
    vote, commit = body.get("vote", {}), body.get("commit", {})
    if type(at) is not int or not 1_000 <= at <= 2**53 - 1 or body["timestamp"] != at // 1_000:
        return None
    if not all(map(_is_dates, (first, seen))) or len(first) + len(seen) > 400:
        return None
    if not all(map(_is_ballots, (vote, commit))) or "0" in vote:
        return None
    votes, commits = list(_pairs(vote)), list(_pairs(commit))
    if len(votes) + len(commits) > 400:
        return None
    times = {each: min(ms for dates in (first, seen) if (ms := dates.get(each))) for each in {**first, **seen}}
    votes += [(0, each) for each in first]
    return Receipt(body["signedby"], body.get("prev"), at, times, frozenset(votes), frozenset(commits))


def _is_dates(dates: Any) -> bool:
    return isinstance(dates, dict) and all(_is_id(each) and type(ms) is int and ms > 0 for each, ms in dates.items())


def _is_ballots(ballots: Any) -> bool:
    return isinstance(ballots, dict) and all(
        _is_round(number) and isinstance(ids, list) and all(map(_is_id, ids)) and len(set(ids)) == len(ids)
        for number, ids in ballots.items()
    )


def _is_round(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9 and str(int(text)) == text


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _pairs(ballots: dict[str, list[str]]) -> Iterator[tuple[int, str]]:
    return ((int(number), each) for number, ids in ballots.items() for each in ids)


def _dates(receipts: dict[str, Receipt]) -> dict[str, dict[str, int]]:
    """For each record id the least time that counts, by witness."""
    sound: dict[str, int] = {}
    """The `at` of the receipt before each sound receipt."""
    for receipt_id in sorted(receipts, key=lambda each: receipts[each].at):
        receipt = receipts[receipt_id]
        if receipt.prev is None:
            sound[receipt_id] = 0
        elif receipt.prev in sound and receipts[receipt.prev].witness == receipt.witness:
            before = receipts[receipt.prev].at
            if before < receipt.at:
                sound[receipt_id] = before
    dates: dict[str, dict[str, int]] = {}
    for receipt_id, before in sound.items():
        receipt = receipts[receipt_id]
        for record_id, ms in receipt.times.items():
            if before < ms <= receipt.at:
                known = dates.setdefault(record_id, {})
                known[receipt.witness] = min(ms, known.get(receipt.witness, ms))
    return dates


def decided_by(receipts: Iterable[Receipt], policy: Policy | None) -> set[str]:
    """The ids that a quorum of witnesses commits in one round."""
    committing: dict[tuple[int, str], set[str]] = {}
    for receipt in receipts:
        for ballot in receipt.commits:
            committing.setdefault(ballot, set()).add(receipt.witness)
    return {each for (_, each), keys in committing.items() if policy is not None and len(keys) >= policy.quorum}


def candidates_after(tip: Record | None, history: Iterable[Record]) -> list[Record]:
    """The records that may stand after this one; None: the foundings."""
    return [each for each in history if _may_follow(tip, each)]


def _walk(history: list[Record], ordered: dict[str, int], decided: set[str]) -> Told:
    """The walk of section 3."""
    chain: list[Record] = []
    final = 0
    while True:
        candidates = candidates_after(chain[-1] if chain else None, history)
        among = [each for each in candidates if each.id in decided] or [
            each for each in candidates if each.id in ordered
        ]
        if not among:
            break
        tip = min(among, key=lambda each: (ordered.get(each.id, float("inf")), each.id))
        if tip.id in decided and final == len(chain):
            final += 1
        chain.append(tip)
    ids = {record.id for record in history}
    return Told(
        [record.id for record in chain],
        final,
        {record.id: _verdict(record, chain, history, ordered, decided) for record in history},
        {record_id: ordered.get(record_id) for record_id in ids},
    )


def _may_follow(tip: Record | None, record: Record) -> bool:
    if tip is None:
        return record.prev is None
    return record.prev == tip.id and record.signedby in (tip.signedby, tip.newowner)


def _verdict(
    record: Record, chain: list[Record], history: list[Record], ordered: dict[str, int], decided: set[str]
) -> str:
    before = next((each for each in chain if each.id == record.prev), None)
    if record in chain:
        return _accepted(before, record)
    if before is not None and record.signedby not in (before.signedby, before.newowner):
        return "not_owner"
    if record.id not in ordered and not _is_slot_decided(record, history, decided):
        return "pending"
    if record.prev is None:
        return "rival"
    return "orphan" if before is None else "stale"


def _accepted(before: Record | None, record: Record) -> str:
    if before is None:
        return "founded"
    if record.signedby != before.signedby:
        return "transferred"
    return "updated" if record.newowner is None else "offered"


def _is_slot_decided(record: Record, history: list[Record], decided: set[str]) -> bool:
    """Whether a candidate of the slot of this record is decided."""
    before = next((each for each in history if each.id == record.prev), None)
    if record.prev is not None and before is None:
        return False
    return any(each.id in decided and _may_follow(before, each) for each in history)
