"""No node ever takes a final record back, and the same records are final on all nodes.

Each commit is checked by its events, and by the oracle's walk of what the node holds then.
"""

from collections.abc import Iterable, Mapping

from protocol.records.change import Event, EventType
from simulations.judges.violation import OnViolation
from simulations.judges.witnessed_oracle import Told


class FinalityJudge:
    """Knows which records each node told its clients are final, by label and in order."""

    def __init__(self, on_violation: OnViolation) -> None:
        self._on_violation = on_violation
        self._places: dict[tuple[str, int], str] = {}
        """Of all nodes: the record that is final at each place of a label."""
        self._final: dict[str, dict[str, list[str]]] = {}

    def on_restore(self, name: str) -> None:
        """An operator restores a backup of this node: it may hold less than before."""
        self._final[name] = {}

    def on_start(self, name: str, told: Mapping[str, Told]) -> None:
        """A node starts, with this state on its disk."""
        before = self._final.get(name, {})
        self._final[name] = {label: list(each.chain[: each.final]) for label, each in told.items()}
        for label, final in before.items():
            if self._final[name].get(label, [])[: len(final)] != final:
                self._on_violation(name, f"what was final of {label} is not final after a restart")
        for label, each in told.items():
            self._check_places(name, label, each.chain[: each.final])

    def on_events(self, name: str, events: Iterable[Event]) -> None:
        """A node tells its watchers of these events."""
        for event in events:
            record = event.record
            final = self._final[name].setdefault(record.label, [])
            if event.type is EventType.REVERTED and event.previous in final:
                self._on_violation(name, f"the final head {event.previous[:8]} of {record.label} is taken back")
            if event.type is EventType.FINAL:
                if record.prev != (final[-1] if final else None):
                    self._on_violation(name, f"{record.id[:8]} of {record.label} is final, and not after a final one")
                final.append(record.id)

    def check(self, name: str, told: Mapping[str, Told]) -> None:
        """Check what a node has told against the state of what it holds."""
        for label, each in told.items():
            final, said = each.chain[: each.final], self._final[name].get(label, [])
            if final != said:
                self._on_violation(name, f"{len(said)} records of {label} were told as final, and {len(final)} are")
            self._check_places(name, label, final)

    def check_kept(self, name: str, told: Mapping[str, Told], kept: Mapping[str, Told]) -> None:
        """Check, once the faults are over, that everything that was ever final is final on this node.

        `kept`: the state by the records that some machine did not lose by a restored backup. What is not final in that
        state may be lost.
        """
        for (label, place), record_id in self._places.items():
            if _is_final(kept, label, place, record_id) and not _is_final(told, label, place, record_id):
                self._on_violation(name, f"{record_id[:8]} of {label} was final on some node, and is not final here")

    def _check_places(self, name: str, label: str, final: Iterable[str]) -> None:
        for place, record_id in enumerate(final):
            other = self._places.setdefault((label, place), record_id)
            if other != record_id:
                words = f"place {place} of {label} is final for {record_id[:8]}, and was for {other[:8]}"
                self._on_violation(name, words)


def _is_final(told: Mapping[str, Told], label: str, place: int, record_id: str) -> bool:
    """Whether this record is final at this place of the label."""
    state = told.get(label)
    return state is not None and state.chain[: state.final][place : place + 1] == [record_id]
