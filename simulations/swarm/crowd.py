"""A crowd: many machines in fair weather, and one partition of half of them that heals.

A swarm looks for faults, and a crowd measures size: hundreds of real nodes run in one process, and virtual time should
pass faster than real time.
"""

from random import Random
from typing import Final

from simulations.cast.tie import Tie
from simulations.swarm.plan import Act, Action, Fault, FaultKind, NodePlan, Plan
from simulations.world.wire import Weather

RECORDS_PER_SECOND: Final = 2.0
"""Claims of all users together in each virtual second."""

TIES: Final = 2
"""Ties that each machine makes to earlier ones. So a machine has about four ties."""

_ACTIVE_S_MIN: Final = 30.0
_FIRST_CLAIM_S: Final = 5.0
"""Before this second all links open."""

_USERS: Final = 20
_SETTLE_S: Final = 600.0


def draw_crowd(nodes: int, records: int, seed: int) -> Plan:
    """A plan with this many machines and claims. Each claim is of a label of its own, at a machine drawn by chance. A
    partition cuts off half of the machines in the second third of the time.
    """
    random = Random(f"crowd {nodes} {records} {seed}")
    names = [f"n{number}" for number in range(nodes)]
    active_s = max(_ACTIVE_S_MIN, records / RECORDS_PER_SECOND)
    ties = [
        Tie(name, other)
        for number, name in enumerate(names)
        for other in random.sample(names[:number], min(number, TIES))
    ]
    acts = [
        Act(
            Action.CLAIM,
            random.uniform(_FIRST_CLAIM_S, active_s),
            f"u{random.randrange(_USERS)}",
            random.choice(names),
            f"label-{it}",
        )
        for it in range(records)
    ]
    return Plan(
        seed=f"crowd {seed}",
        weather=Weather(latency_s=0.03, jitter_s=0.01),
        nodes=[NodePlan(name) for name in names],
        ties=ties,
        faults=[Fault(FaultKind.PARTED, active_s / 3, active_s / 3, names[: nodes // 2])],
        acts=sorted(acts, key=lambda it: it.at_s),
        active_s=active_s,
        settle_s=_SETTLE_S,
    )
