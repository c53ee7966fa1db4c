"""A council: the witnesses of one domain as machines in memory, whose records arrive in any order, late, or never.

No signatures and no clocks of the world: a record is whatever `make` takes, and each seat is told the time.
"""

from collections.abc import Iterable
from random import Random
from typing import Any

from protocol.records.record import Record, make
from protocol.witness.policy import Policy, make_policy
from protocol.witness.receipt import receipt_label, receipt_of
from protocol.witness.testimony import Testimony
from protocol.witness.voter import SlotKey, Voter
from protocol.witness.walk import Walk, is_candidate, walk

BEGIN_MS = 1_790_000_000_000
LABEL = "garden"


def key_of(number: int, kind: str = "a") -> str:
    """The spelling of a public key. Nothing is signed here, so the keys need no secrets."""
    return kind * 4 + f"{number:060x}"


def council_policy(witnesses: int, faulty: int) -> Policy:
    return make_policy([key_of(number) for number in range(witnesses)], faulty)


def domain_of(policy: Policy) -> str:
    return f"com.example.{policy.name}"


def founding(policy: Policy, author: int, **fields: Any) -> Record:
    return _record(policy, author, **fields)


def follower(policy: Policy, before: Record, author: int, **fields: Any) -> Record:
    return _record(policy, author, prev=before.id, **fields)


def _record(policy: Policy, author: int, **fields: Any) -> Record:
    body = {"domain": domain_of(policy), "label": LABEL, "signedby": key_of(author, "b"), "timestamp": 1_790_000_000}
    return make(body | fields)


class Seat:
    """One honest witness: its disk (`records`), its testimony and its voter."""

    def __init__(self, policy: Policy, key: str) -> None:
        self.policy = policy
        self.key = key
        self.records: dict[str, Record] = {}
        self.newest: Record | None = None
        self._awake()

    def _awake(self) -> None:
        self.testimony = Testimony(self.policy)
        self.voter = Voter(domain_of(self.policy), self.policy, self.key, self.testimony.evidence)
        self.candidates: dict[SlotKey, list[str]] = {}
        self.decided: dict[SlotKey, set[str]] = {}

    def restart(self, now_ms: int) -> None:
        """Lose all but the disk and the file of the newest receipt, and begin anew."""
        held, self.records = self.records, {}
        self._awake()
        if self.newest is not None:
            self.voter.resume(self.newest.id, _at_of(self.newest))
        receipts_first = sorted(held.values(), key=lambda record: not record.is_of_witnesses)
        for record in receipts_first:
            self.take(record, now_ms)

    def take(self, record: Record, now_ms: int) -> None:
        """Commit this record to the disk, and tell the machines."""
        if record.id in self.records:
            return
        self.records[record.id] = record
        receipt = receipt_of(record)
        if receipt is not None:
            touched = self.testimony.add(receipt).said
            self.voter.on_testimony(touched)
            self._note_decided(touched)
            self.voter.go_on(now_ms)
            return
        for each in list(self.claims()):
            key = (LABEL, each.prev)
            if each.id not in self.candidates.get(key, ()) and is_candidate(each, self._by_id()):
                self.candidates.setdefault(key, []).append(each.id)
                if key not in self.decided:
                    self.voter.on_candidate(key, each.id, now_ms)
                self._note_decided([each.id])
        self.voter.go_on(now_ms)

    def speak(self, now_ms: int) -> Record | None:
        """The next receipt, if one is due."""
        self.voter.go_on(now_ms)
        fields = self.voter.draft(now_ms)
        if fields is None:
            return None
        record = make(fields)
        self.newest = record
        self.voter.on_signed(record.id, fields["at"])
        self.take(record, now_ms)
        return record

    def claims(self) -> Iterable[Record]:
        return (record for record in self.records.values() if not record.is_of_witnesses)

    def walk(self) -> Walk:
        return walk(self.policy, self.claims(), self.testimony.evidence)

    def _by_id(self) -> dict[str, Record]:
        return {record.id: record for record in self.claims()}

    def _note_decided(self, record_ids: Iterable[str]) -> None:
        for record_id in record_ids:
            record = self.records.get(record_id)
            if record is not None and self.testimony.evidence(record_id).is_decided(self.policy):
                key = (LABEL, record.prev)
                self.decided.setdefault(key, set()).add(record_id)
                self.voter.on_closed(key)


class Liar:
    """A witness that votes and commits by chance, on forks, and tells each seat something else."""

    def __init__(self, policy: Policy, key: str, random: Random) -> None:
        self._policy = policy
        self._key = key
        self._random = random
        self._last: Record | None = None

    def lie(self, records: list[Record], now_ms: int) -> Record:
        random = self._random
        picked = [random.choice(records).id for _ in range(2)]
        fields: dict[str, Any] = {
            "domain": domain_of(self._policy),
            "label": receipt_label(self._key),
            "signedby": self._key,
            "timestamp": now_ms // 1000,
            "at": now_ms,
            "first": {picked[0]: now_ms},
            "vote": {str(random.randint(1, 4)): [picked[0]]},
            "commit": {str(random.randint(0, 4)): [picked[1]]},
            "n": random.getrandbits(32),
        }
        if self._last is not None and random.random() < 0.5:
            fields["prev"] = self._last.id
        self._last = make(fields)
        return self._last


def _at_of(record: Record) -> int:
    receipt = receipt_of(record)
    assert receipt is not None
    return receipt.at_ms
