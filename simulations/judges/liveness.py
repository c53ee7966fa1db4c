"""In the end every race is over on every node, if at most `n - q` witnesses are silent or lie, counted together.

An honest witness that is up may be silent for two reasons only: the file of its newest receipt was lost, or a backup
was restored and nobody holds what the witness said after it.
"""

from collections.abc import Iterable, Mapping

from node.witness.own import Silence
from protocol.records.record import Record
from simulations.cast.council import Council
from simulations.cast.machine import Machine
from simulations.judges.violation import OnViolation
from simulations.judges.witnessed_oracle import Told, candidates_after


class LivenessJudge:
    """Knows which witnesses may be silent, and why."""

    def __init__(self, on_violation: OnViolation, council: Council) -> None:
        self._on_violation = on_violation
        self._council = council
        self._restored: set[str] = set()
        self._forgetful: set[str] = set()

    def on_restore(self, name: str) -> None:
        """An operator restores a backup of this machine."""
        self._restored.add(name)

    def on_lost_file(self, name: str) -> None:
        """The file of the newest receipt of this machine is gone."""
        self._forgetful.add(name)

    def on_begun(self, name: str) -> None:
        """The operator says how the witness on this machine goes on."""
        self._forgetful.discard(name)

    def are_enough(self, machines: Mapping[str, Machine]) -> bool:
        """Whether so many witnesses speak honestly that every race has to end."""
        speaking = [name for name in self._council.seats if name in machines and silence_of(machines[name]) is None]
        return len(speaking) >= self._council.quorum

    def check_silence(self, machines: Mapping[str, Machine]) -> None:
        """Check that each honest witness speaks, unless it has a reason not to. The nodes agree on all records."""
        for name in self._council.seats:
            if name not in machines:
                continue
            silence = silence_of(machines[name])
            if name in self._forgetful:
                is_right = silence is Silence.NOT_BEGUN
            else:
                is_right = silence is None or (silence is Silence.CHAIN_MISSING and name in self._restored)
            if not is_right:
                self._on_violation(name, f"the witness {'speaks' if silence is None else f'is silent: {silence}'}")


def silence_of(machine: Machine) -> Silence | None:
    """Why the witness on this machine says nothing; None: it speaks."""
    (own,) = machine.running.witnessing
    return own.silence


def open_races(told: Mapping[str, Told], labels: Mapping[str, Iterable[Record]]) -> list[str]:
    """The labels whose next place has candidates and is not decided."""
    found = []
    for label, records in labels.items():
        by_id = {record.id: record for record in records}
        state = told[label]
        tip = by_id[state.chain[state.final - 1]] if state.final else None
        if candidates_after(tip, by_id.values()):
            found.append(label)
    return found
