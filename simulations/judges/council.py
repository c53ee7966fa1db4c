"""The judges of one witnessed domain: they are told what each node holds and commits, and each judges one invariant.

`agreement`, `finality`, `promises` and `walks` hold always, whatever happens. `liveness` holds at the end.
"""

import asyncio
from collections.abc import Collection, Mapping
from typing import Final

from node.store.contract import Batch
from protocol.records.record import Record
from simulations.cast.council import Council
from simulations.cast.machine import Machine
from simulations.judges.agreement import AgreementJudge
from simulations.judges.finality import FinalityJudge
from simulations.judges.liveness import LivenessJudge, open_races
from simulations.judges.promises import PromisesJudge
from simulations.judges.violation import OnViolation
from simulations.judges.walks import WalkJudge
from simulations.judges.witnessed_oracle import Told, tell

LONG_RECORDS: Final = 64
LONG_EVERY: Final = 16
"""A domain with more than 64 records is walked by the oracle only at every 16th commit, because each walk reads all."""


class CouncilJudges:
    """Watches one witnessed domain on every machine."""

    def __init__(self, on_violation: OnViolation, council: Council) -> None:
        """`on_violation`: told where an invariant does not hold."""
        self.liveness = LivenessJudge(on_violation, council)
        self._domain = council.domain
        self._on_violation = on_violation
        self._is_broken = False
        self._agreement = AgreementJudge(self._on_breach, council.quorum)
        self._finality = FinalityJudge(self._on_breach)
        self._promises = PromisesJudge(on_violation, council)
        self._walks = WalkJudge(on_violation, council.domain)
        self._held: dict[str, dict[str, Record]] = {}
        self._kept: dict[str, dict[str, Record]] = {}
        """What each machine ever held and did not lose by a restored backup. No machine may lose it in another way."""
        self._known: set[str] = set()
        self._keys = {key.public for key in council.keys.values()}
        self._commits = 0

    def on_theft(self, names: Collection[str], *, is_broken: bool) -> None:
        """Somebody has the keys of these witnesses. `is_broken`: so many that nothing is promised any more."""
        for name in names:
            self._promises.excuse(name)
        self._is_broken = is_broken

    def _on_breach(self, where: str, words: str) -> None:
        """Two records are decided, or a final one is taken back: a violation while the contract promises otherwise."""
        if not self._is_broken:
            self._on_violation(where, words)

    def on_restore(self, name: str) -> None:
        """An operator restores a backup of this machine."""
        self._kept[name] = {}
        self._promises.on_restore(name)
        self._finality.on_restore(name)
        self.liveness.on_restore(name)

    def on_start(self, machine: Machine, there: Mapping[str, Record]) -> None:
        """A node starts with these records on its disk."""
        held = self._held[machine.name] = {
            record_id: record for record_id, record in there.items() if record.domain == self._domain
        }
        for record in held.values():
            self._meet(record)
        self._kept.setdefault(machine.name, {}).update(held)
        self._promises.on_start(machine.name, held.values())
        self._walks.on_start(machine)
        self._finality.on_start(machine.name, tell(held.values()))

    def on_commit(self, machine: Machine, batch: Batch) -> None:
        """A node commits this batch."""
        records = [it.signed.record for it in batch.records if it.signed.record.domain == self._domain]
        held, kept = self._held[machine.name], self._kept[machine.name]
        for record in records:
            held[record.id] = kept[record.id] = record
            self._meet(record)
        loop_ms = asyncio.get_running_loop().time() * 1_000
        self._promises.on_commit(machine.name, records, machine.clock.now_s() * 1_000, loop_ms)
        self._walks.on_commit(machine.name, batch)
        self._finality.on_events(
            machine.name,
            [it for it in batch.events if it.record.domain == self._domain and not it.record.is_of_witnesses],
        )
        self._commits += bool(records)
        if records and (len(held) <= LONG_RECORDS or self._commits % LONG_EVERY == 0):
            self._check(machine.name)

    def open_races(self, machines: Mapping[str, Machine]) -> list[str]:
        """The machines and labels whose next place has candidates and is not decided."""
        return [
            f"{name} {label}"
            for name in machines
            for label in open_races(tell(self._held[name].values()), self._claims(name))
        ]

    def established(self, machines: Mapping[str, Machine]) -> list[str]:
        """The labels that have a final head on every machine."""
        final = [{label for label, each in tell(self._held[name].values()).items() if each.final} for name in machines]
        return sorted(set[str].intersection(*final)) if final else []

    async def check_end(self, machines: Mapping[str, Machine]) -> None:
        """Check all nodes once the faults are over, and all hold the same records."""
        kept = tell({each.id: each for of_one in self._kept.values() for each in of_one.values()}.values())
        states = set()
        for name, machine in machines.items():
            told = self._check(name)
            self._finality.check_kept(name, told, kept)
            await self._walks.check_stored(machine, told)
            states.add(repr(sorted((label, each.chain, each.final) for label, each in told.items())))
        if len(states) > 1:
            self._on_violation("", f"the nodes end in {len(states)} states of one domain")
        self.liveness.check_silence(machines)

    def _check(self, name: str) -> Mapping[str, Told]:
        told = tell(self._held[name].values())
        self._walks.check(name, told)
        self._finality.check(name, told)
        return told

    def _claims(self, name: str) -> dict[str, list[Record]]:
        labels: dict[str, list[Record]] = {}
        for record in self._held[name].values():
            if not record.is_of_witnesses:
                labels.setdefault(record.label, []).append(record)
        return labels

    def _meet(self, record: Record) -> None:
        """Tell the judges of a record that nobody has held before."""
        if record.id in self._known:
            return
        self._known.add(record.id)
        if record.signedby in self._keys and record.is_of_witnesses:
            self._agreement.on_receipt(record)
            self._promises.on_receipt(record)
        elif not record.is_of_witnesses:
            self._agreement.on_claim(record)
