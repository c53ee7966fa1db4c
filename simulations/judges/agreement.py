"""Never two records of one slot are decided, whatever any node has heard.

Commits are counted over all receipts that exist anywhere. A node that holds fewer of them cannot have decided more.
"""

from protocol.records.record import Record
from simulations.judges.violation import OnViolation
from simulations.judges.witnessed_oracle import read_receipt

Slot = tuple[str, str | None]
"""A label, and the `prev` of the records that may stand there."""


class AgreementJudge:
    """Counts the commits of the witnesses. `decided`: the ids that a quorum committed in one round, by slot."""

    def __init__(self, on_violation: OnViolation, quorum: int) -> None:
        self.decided: dict[Slot, set[str]] = {}
        self._on_violation = on_violation
        self._quorum = quorum
        self._slots: dict[str, Slot] = {}
        self._committing: dict[tuple[int, str], set[str]] = {}
        self._committed: set[str] = set()

    def on_claim(self, record: Record) -> None:
        """A node holds this record, for the first time in the run."""
        self._slots[record.id] = (record.label, record.prev)
        if record.id in self._committed:
            self._note(record.id)

    def on_receipt(self, record: Record) -> None:
        """A node holds this receipt of a witness, for the first time in the run."""
        receipt = read_receipt(record.canonical)
        for ballot in () if receipt is None else receipt.commits:
            keys = self._committing.setdefault(ballot, set())
            keys.add(record.signedby)
            if len(keys) == self._quorum:
                self._committed.add(ballot[1])
                self._note(ballot[1])

    def _note(self, record_id: str) -> None:
        slot = self._slots.get(record_id)
        if slot is None:
            return
        decided = self.decided.setdefault(slot, set())
        decided.add(record_id)
        if len(decided) > 1:
            names = " and ".join(sorted(each[:8] for each in decided))
            self._on_violation("", f"two records of one slot of {slot[0]} are decided: {names}")
