"""Random exploration of the voter: small councils, rivals, and every schedule that chance finds.

    python -m tests.protocol.witness.exploration --runs 20000

Seats step in any order; each receipt comes to each seat in any order, or never; the clock of each step jumps anywhere
ahead; seats crash and begin anew from their disks; up to `faulty` witnesses lie. Nothing here waits for anything, so no
assumption about time is left: two decided records in a slot would be a fault of the rules or of the machine.
"""

import argparse
import sys
from random import Random

import msgspec

from protocol.records.record import Record
from protocol.witness.policy import Policy
from tests.protocol.witness.council import BEGIN_MS, Liar, Seat, council_policy, follower, founding

STEPS = 120


class Case(msgspec.Struct, frozen=True):
    """How many witnesses there are, how many may lie, and how many do."""

    witnesses: int
    faulty: int
    liars: int


CASES = (Case(3, 0, 0), Case(4, 1, 1), Case(4, 1, 0), Case(5, 1, 1), Case(7, 2, 2))


class Explored(msgspec.Struct, frozen=True):
    """What one run came to: the records decided in each slot over all seats, and how many slots were decided."""

    most_decided: int
    slots_decided: int


def explore(seed: int, case: Case, policy: Policy | None = None) -> Explored:
    """One run. `policy`: another one than the case's, to plant a fault in it."""
    random = Random(f"{seed} {case}")
    policy = policy or council_policy(case.witnesses, case.faulty)
    seats = [Seat(policy, key) for key in policy.witnesses[case.liars :]]
    liars = [Liar(policy, key, random) for key in policy.witnesses[: case.liars]]
    rivals = [founding(policy, author) for author in range(2)]
    claims = [*rivals, *(follower(policy, rival, author) for author, rival in enumerate(rivals))]
    mail: list[tuple[Seat, Record]] = [(seat, claim) for seat in seats for claim in claims]
    clocks = {seat.key: BEGIN_MS for seat in seats}
    for _ in range(STEPS * len(seats)):
        seat = random.choice(seats)
        clocks[seat.key] += random.choice((0, 1, 100, 600, 1_000, 4_000, 16_000))
        now_ms = clocks[seat.key]
        for _ in range(random.randint(0, 3)):
            if mail:
                addressee, record = mail.pop(random.randrange(len(mail)))
                addressee.take(record, clocks[addressee.key])
        if random.random() < 0.02:
            seat.restart(now_ms)
        said = seat.speak(now_ms)
        if said is not None:
            mail += [(other, said) for other in seats if other is not seat and random.random() < 0.95]
        for liar in liars if random.random() < 0.3 else ():
            mail += [(other, liar.lie(claims, now_ms)) for other in seats]
    return _explored(seats)


def _explored(seats: list[Seat]) -> Explored:
    decided: dict[object, set[str]] = {}
    for seat in seats:
        for key, ids in seat.decided.items():
            decided.setdefault(key, set()).update(ids)
    return Explored(max(map(len, decided.values()), default=0), len(decided))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000, help="runs of each case")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    arguments = parser.parse_args()
    for case in CASES:
        runs = [explore(seed, case) for seed in range(arguments.start, arguments.start + arguments.runs)]
        twice = sum(run.most_decided > 1 for run in runs)
        slots = sum(run.slots_decided for run in runs)
        sys.stdout.write(f"{case}: decided twice in {twice} of {len(runs)} runs; {slots} slots decided\n")


if __name__ == "__main__":
    main()
