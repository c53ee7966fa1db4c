"""A crowd: many machines in fair weather, a partition through the middle, and its healing.

Where a swarm looks for what is wrong, this looks at how much: hundreds of real nodes in one process, whose virtual time
should pass faster than ours.
"""

from random import Random
from typing import Final

from simulations.cast.tie import Tie
from simulations.swarm.plan import Act, Action, Fault, FaultKind, NodePlan, Plan
from simulations.world.wire import Weather

RECORDS_PER_SECOND: Final = 2.0
TIES: Final = 2
"""That each machine makes to those before it: about four a machine in all."""

_USERS: Final = 20
_SETTLE_S: Final = 600.0


def draw_crowd(nodes: int, records: int, seed: int) -> Plan:
    """So many machines, and so many claims of a label each, written everywhere; parted for a third of the time."""
    random = Random(f"crowd {nodes} {records} {seed}")
    names = [f"n{number}" for number in range(nodes)]
    active_s = max(30.0, records / RECORDS_PER_SECOND)
    ties = [
        Tie(name, other)
        for number, name in enumerate(names)
        for other in random.sample(names[:number], min(number, TIES))
    ]
    acts = [
        Act(
            Action.CLAIM,
            random.uniform(5, active_s),
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
