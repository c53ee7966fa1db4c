"""Every order of messages in small councils, up to a number of steps. `exploration` tries longer orders by chance.

    python -m tests.protocol.witness.orders

Two rivals found a label. Each honest witness holds both, and every choice of who saw which first is tried. One step is:
a witness hears the next receipt of another one, or a timer of the witness fires, or the liar, if there is one, shows a
witness all that can be said for one rival. A witness hears the receipts of another one in their order, as links carry
them. After each step the witness says at once all that it has to say. So in one step its clock moves by 100 ms for each
receipt, or to the timer that fires.

So small a number of steps does not lead to the end of a race with four witnesses in most orders. It leads through each
first quorum, the first rounds and all that the liar can do to them.

The judge sees all that was said, whether anybody heard it or not. So two decided records show as soon as the last
commit is signed. Orders that lead to the same state are continued once: a state is what each witness holds and has in
mind.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final

import msgspec

from protocol.records.record import Record, make
from protocol.witness.policy import Policy
from protocol.witness.receipt import receipt_label, receipt_of
from protocol.witness.voter import RECEIPT_INTERVAL_MS
from tests.protocol.witness.council import BEGIN_MS, Seat, council_policy, domain_of, founding

LIARS_ROUNDS: Final = 3
"""The liar votes and commits in rounds below this."""

Past = tuple[str | None, ...]
"""The steps of one witness: the id of the receipt that it heard, or None for a timer."""


class Case(msgspec.Struct, frozen=True):
    """How many witnesses there are, how many may lie, and whether one does."""

    witnesses: int
    faulty: int
    has_liar: bool = False


STEPS: Final = {Case(3, 0): 10, Case(4, 1): 7, Case(4, 1, has_liar=True): 7}
"""The cases, each with as many steps as a minute of one core allows for all. In 10 steps three witnesses can decide
twice if they forget the highest quorum; in 9 they cannot.
"""


class Explored(msgspec.Struct):
    """What all orders came to: the states, those in which a record was decided, and the most records decided in one."""

    states: int = 0
    decided: int = 0
    most_decided: int = 0


class _Moment(msgspec.Struct, frozen=True):
    """One witness after some steps: its state as a digest, its receipts, and its commits as `(round, id)`."""

    digest: tuple[object, ...]
    said: tuple[str, ...]
    commits: frozenset[tuple[int, str]]
    has_timer: bool


class _Council:
    """One council, whose honest witnesses saw the rivals in these orders."""

    def __init__(self, case: Case, policy: Policy, firsts: Sequence[int]) -> None:
        """`firsts`: for each honest witness, which of the rivals it saw first."""
        rivals = [founding(policy, author) for author in range(2)]
        self._policy = policy
        self.honest = policy.witnesses[int(case.has_liar) :]
        self._claims = {key: (rivals[first], rivals[1 - first]) for key, first in zip(self.honest, firsts, strict=True)}
        lies = [_support(policy, policy.witnesses[0], rival.id) for rival in rivals] if case.has_liar else []
        self._records = {lie.id: lie for lie in lies}
        self._lies = [lie.id for lie in lies]
        self._lied = Counter(commit for lie in lies for commit in _commits(lie))
        self._moments: dict[tuple[str, Past], _Moment] = {}

    def explore(self, steps: int, explored: Explored) -> None:
        """Take up to so many steps in every order."""
        begin: tuple[Past, ...] = ((),) * len(self.honest)
        frontier = {self._digest(begin): begin}
        seen = set(frontier)
        for _ in range(steps + 1):
            for pasts in frontier.values():
                self._judge(pasts, explored)
            following = {}
            for pasts in frontier.values():
                for after in self._steps(pasts):
                    digest = self._digest(after)
                    if digest not in seen:
                        seen.add(digest)
                        following[digest] = after
            frontier = following

    def _steps(self, pasts: tuple[Past, ...]) -> Iterator[tuple[Past, ...]]:
        """What may happen next."""
        moments = self._now(pasts)
        for place, past in enumerate(pasts):
            heard: list[str | None] = [lie for lie in self._lies if lie not in past]
            for other, moment in enumerate(moments):
                waiting = [each for each in moment.said if each not in past] if other != place else []
                heard += waiting[:1]
            heard += [None] if moments[place].has_timer else []
            for each in heard:
                yield (*pasts[:place], (*past, each), *pasts[place + 1 :])

    def _judge(self, pasts: tuple[Past, ...], explored: Explored) -> None:
        commits = self._lied + Counter(commit for moment in self._now(pasts) for commit in moment.commits)
        decided = {record_id for (_, record_id), count in commits.items() if count >= self._policy.quorum}
        explored.states += 1
        explored.decided += bool(decided)
        explored.most_decided = max(explored.most_decided, len(decided))

    def _now(self, pasts: tuple[Past, ...]) -> list[_Moment]:
        return [self._moment(key, past) for key, past in zip(self.honest, pasts, strict=True)]

    def _digest(self, pasts: tuple[Past, ...]) -> tuple[object, ...]:
        return tuple(moment.digest for moment in self._now(pasts))

    def _moment(self, key: str, past: Past) -> _Moment:
        moment = self._moments.get((key, past))
        if moment is None:
            moment = self._moments[key, past] = self._play(key, past)
        return moment

    def _play(self, key: str, past: Past) -> _Moment:
        """Let the witness take all its steps, from the beginning."""
        seat, now_ms, said = Seat(self._policy, key), BEGIN_MS, list[Record]()
        for heard in (*self._claims[key], *past):
            if heard is None:
                now_ms = max(now_ms, seat.voter.next_at_ms or 0)
            else:
                seat.take(heard if isinstance(heard, Record) else self._records[heard], now_ms)
            while (receipt := seat.speak(now_ms)) is not None:
                said.append(receipt)
                now_ms += RECEIPT_INTERVAL_MS
        self._records |= {receipt.id: receipt for receipt in said}
        commits = frozenset(commit for receipt in said for commit in _commits(receipt))
        timer_ms = seat.voter.next_at_ms
        digest = (frozenset(seat.records), now_ms, timer_ms, repr(list(seat.voter._slots.values())))
        return _Moment(digest, tuple(receipt.id for receipt in said), commits, timer_ms is not None)


def _support(policy: Policy, liar: str, record_id: str) -> Record:
    """All that a witness can say for a record."""
    ballots = {str(number): [record_id] for number in range(1, LIARS_ROUNDS)}
    fields = {"domain": domain_of(policy), "label": receipt_label(liar), "signedby": liar, "at": BEGIN_MS}
    said = {"first": {record_id: BEGIN_MS}, "vote": ballots, "commit": {"0": [record_id], **ballots}}
    return make(fields | {"timestamp": BEGIN_MS // 1_000} | said)


def _commits(record: Record) -> list[tuple[int, str]]:
    receipt = receipt_of(record)
    assert receipt is not None, "witnesses sign receipts"
    return list(receipt.all_commits())


def explore(case: Case, steps: int, policy: Policy | None = None) -> Explored:
    """All orders of so many steps. `policy`: another one than the case's, to plant a fault in it."""
    policy, explored = policy or council_policy(case.witnesses, case.faulty), Explored()
    for firsts in product((0, 1), repeat=case.witnesses - int(case.has_liar)):
        _Council(case, policy, firsts).explore(steps, explored)
    return explored


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--steps", type=int, help="steps in each order, at most; without it, as many as a minute allows"
    )
    arguments = parser.parse_args()
    for case, steps in STEPS.items():
        found = explore(case, arguments.steps or steps)
        words = f"{found.decided:,} with a decided record, at most {found.most_decided} in one state"
        sys.stdout.write(f"{case}: {found.states:,} states; {words}\n")


if __name__ == "__main__":
    main()
