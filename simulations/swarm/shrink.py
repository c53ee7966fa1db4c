"""Shrinking: of a run that fails, what it fails without is taken away, until a person can read the rest.

Machines go first, each with all that needs it; then faults, acts and ties, by halves, quarters and so on (ddmin:
Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002); then what remains is made ordinary.
As chance comes in streams by name, the rest of a run hardly changes when something of it is gone. A smaller run may
fail in another way than the one that it was made from; that is worth as much.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from simulations.swarm.plan import NodePlan, Plan
from simulations.world.wire import Weather

TRIES_MAX: Final = 300
_LISTS: Final = ("faults", "acts", "ties")

_T = TypeVar("_T")


class Shrinker:
    """`fails` plays a plan and says whether it does. `tries` counts them."""

    def __init__(self, fails: Callable[[Plan], bool], tries_max: int = TRIES_MAX) -> None:
        self.tries = 0
        self._fails = fails
        self._tries_max = tries_max

    def smallest(self, plan: Plan) -> Plan:
        """The smallest failing plan that is found within the tries; the plan itself where nothing can go."""
        before = None
        while plan != before and self.tries < self._tries_max:
            before = plan
            for node in reversed(plan.nodes):
                plan = self._either(plan.without(node.name), plan)
            for name in _LISTS:
                plan = self._fewer(plan, name)
            for plainer in _plainer(plan):
                plan = self._either(plainer, plan)
        return plan

    def _fewer(self, plan: Plan, name: str) -> Plan:
        """As few entries of this list as it still fails with."""
        entries, parts = list(getattr(plan, name)), 2
        if entries:
            plan = self._either(msgspec.structs.replace(plan, **{name: []}), plan)
            entries = list(getattr(plan, name))
        while entries and parts <= 2 * len(entries):
            for rest in _without_each(entries, parts):
                smaller = msgspec.structs.replace(plan, **{name: rest})
                if self._either(smaller, plan) is smaller:
                    plan, entries, parts = smaller, rest, max(2, parts - 1)
                    break
            else:
                parts *= 2
        return plan

    def _either(self, smaller: Plan, plan: Plan) -> Plan:
        """The smaller one, if it fails too."""
        if smaller == plan or not smaller.nodes or self.tries >= self._tries_max:
            return plan
        self.tries += 1
        return smaller if self._fails(smaller) else plan


def _without_each(entries: Sequence[_T], parts: int) -> Iterator[list[_T]]:
    """The entries without their first part, without their second, and so on."""
    size = max(1, len(entries) // parts)
    for begin in range(0, len(entries), size):
        yield [*entries[:begin], *entries[begin + size :]]


def _plainer(plan: Plan) -> Iterator[Plan]:
    """The same plan with ordinary weather, and with ordinary machines."""
    yield msgspec.structs.replace(plan, weather=Weather())
    yield msgspec.structs.replace(plan, nodes=[NodePlan(node.name) for node in plan.nodes])
