"""Witnessed domains drawn from seeds: who witnesses, who lies and how, what users do, and what befalls a witness.

All of it comes from a random stream of its own, so that runs without a witnessed domain stay as they were before.
"""

from collections.abc import Iterator, Sequence
from itertools import count, islice
from random import Random
from typing import Final

import msgspec

from simulations.cast.liar import LieKind
from simulations.cast.tie import Tie
from simulations.swarm.plan import CouncilAct, CouncilAction, CouncilPlan, Fault, FaultKind, Plan

SHARE: Final = 0.3
"""The share of the seeds that have a witnessed domain."""

THEFTS: Final = 0.3
"""The share of witnessed domains in which witnesses collude at the end, too few to decide."""

_ORDINARY: Final = frozenset(range(20)) | {
    *(24, 28, 74, 86, 96, 126, 145),
    *(156820728, 156820748, 170000082, 178036647, 270000033, 270000366, 400000530),
}
"""Seeds that once showed a fault, or that the list of mutants names. Their runs must stay as they were."""

_SHAPES: Final = ((1, 0), (3, 0), (4, 1), (4, 1), (7, 2))
"""How many witnesses there are, and how many of them may lie."""

_ACTIONS: Final = (*3 * (CouncilAction.CLAIM,), *2 * (CouncilAction.OFFER,), *CouncilAction)
_RACERS_MAX: Final = 3
_LATE_S: Final = 0.3
"""Seconds between the first and the last record of a race, at most."""


def has_council(seed: int | str) -> bool:
    """Whether the plan of this seed has a witnessed domain."""
    return seed not in _ORDINARY and Random(f"swarm {seed} council").random() < SHARE


def witnessed_seeds(start: int, seeds: int) -> Iterator[int]:
    """The first `seeds` seeds from `start` on that have a witnessed domain."""
    return islice(filter(has_council, count(start)), seeds)


def add_council(seed: int | str, plan: Plan) -> Plan:
    """The plan, with a witnessed domain in a part of the seeds."""
    if not has_council(seed):
        return plan
    random = Random(f"swarm {seed} council details")
    names = [node.name for node in plan.nodes]
    witnesses, faulty = random.choice([shape for shape in _SHAPES if shape[0] <= len(names)])
    liars = [random.choice(list(LieKind)) for _ in range(random.choice((0, faulty, faulty)))]
    seats = sorted(random.sample(names, witnesses - len(liars)))
    spare = witnesses - ((witnesses + faulty) // 2 + 1) - len(liars)
    return msgspec.structs.replace(
        plan,
        ties=connected(plan.ties, names),
        faults=[*plan.faults, *_losses(random, seats, spare, plan.active_s), *_cuts(random, seats, plan.active_s)],
        acts=plan.acts[::4],
        council=CouncilPlan(seats, faulty, liars, _acts(random, names, plan.active_s), random.random() < THEFTS),
    )


def connected(ties: Sequence[Tie], names: Sequence[str]) -> list[Tie]:
    """The ties, of which as many as needed go both ways, so that records flow from every machine to every other."""
    ties = list(ties)
    for place, tie in enumerate(ties):
        if _is_connected(ties, names):
            break
        ties[place] = msgspec.structs.replace(tie, push=True, pull=True)
    return ties


def _is_connected(ties: Sequence[Tie], names: Sequence[str]) -> bool:
    flows = [flow for tie in ties for flow in tie.flows]
    back = [(target, source) for source, target in flows]
    return all(len(_reached(each, names[0])) == len(names) for each in (flows, back))


def _reached(flows: Sequence[tuple[str, str]], source: str) -> set[str]:
    reached, waiting = {source}, [source]
    while waiting:
        name = waiting.pop()
        new = [target for begin, target in flows if begin == name and target not in reached]
        reached.update(new)
        waiting += new
    return reached


def _losses(random: Random, seats: Sequence[str], spare: int, active_s: float) -> list[Fault]:
    """Witnesses that lose the file of their newest receipt. `spare`: how many may be silent."""
    lost = random.choice((0, 0, min(1, spare), spare))
    faults = []
    for name in random.sample(seats, max(0, lost)):
        at_s = random.uniform(5, active_s * 0.8)
        faults.append(Fault(FaultKind.FORGOTTEN, at_s, random.uniform(0.1, 5), [name], random.uniform(0, at_s)))
    return faults


def _cuts(random: Random, seats: Sequence[str], active_s: float) -> list[Fault]:
    """Power cuts of witnesses between the write of a receipt and its way to the others."""
    return [
        Fault(FaultKind.CUT_WRITING, random.uniform(2, active_s * 0.8), random.uniform(1, 10), [random.choice(seats)])
        for _ in range(random.choice((0, 1, 3)))
    ]


def _acts(random: Random, names: Sequence[str], active_s: float) -> list[CouncilAct]:
    """Races, each of one label and a few users at once, and single acts."""
    users = [f"w{number}" for number in range(random.randint(2, 4))]
    labels = [f"witnessed-{number}" for number in range(random.choice((1, 2, 4)))]
    acts = []
    for _ in range(random.choice((4, 8, 16))):
        at_s, label = random.uniform(2, active_s), random.choice(labels)
        is_race = random.random() < 0.5
        for _ in range(random.randint(2, _RACERS_MAX) if is_race else 1):
            action = CouncilAction.CLAIM if is_race else random.choice(_ACTIONS)
            when_s = at_s + random.uniform(0, _LATE_S)
            user, machine = random.choice(users), random.choice(names)
            other = random.choice(users if action is CouncilAction.OFFER else names)
            acts.append(CouncilAct(action, when_s, user, machine, label, other))
    return sorted(acts, key=lambda act: act.at_s)
