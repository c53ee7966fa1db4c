"""Shrinking: take away everything from a failing plan that it fails without, so that a person can read the rest.

Machines go first, each with everything that needs it. Then faults, acts and ties go, by halves, quarters and so on
(ddmin: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002). Then weather and machines
become ordinary. Random streams have names, so the rest of a run hardly changes when a part of its plan is gone. The
smaller run may fail in another way than the first one. Such a failure is worth as much.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from simulations.swarm.plan import NodePlan, Plan
from simulations.world.wire import Weather

TRIES_MAX: Final = 300
"""Plans that one search plays: a few minutes."""

_LISTS: Final = ("faults", "acts", "ties")

_T = TypeVar("_T")


class Shrinker:
    """Searches the smallest plan that fails. `tries`: plans played so far."""

    def __init__(self, fails: Callable[[Plan], bool], tries_max: int = TRIES_MAX) -> None:
        """`fails`: plays a plan, and returns whether it fails. `tries_max`: plans that it may play."""
        self.tries = 0
        self._fails = fails
        self._tries_max = tries_max

    def smallest(self, plan: Plan) -> Plan:
        """The smallest failing plan that was found, or the plan itself if it needs every part."""
        before = None
        while plan != before and self.tries < self._tries_max:
            before = plan
            for node in reversed(plan.nodes):
                plan = self._smaller_if_failing(plan.without(node.name), plan)
            for name in _LISTS:
                plan = self._shorten(plan, name)
            for ordinary in _ordinary(plan):
                plan = self._smaller_if_failing(ordinary, plan)
        return plan

    def _shorten(self, plan: Plan, name: str) -> Plan:
        """The plan with the fewest entries in this list with which it still fails."""
        entries, parts = list(getattr(plan, name)), 2
        if entries:
            plan = self._smaller_if_failing(msgspec.structs.replace(plan, **{name: []}), plan)
            entries = list(getattr(plan, name))
        while entries and parts <= 2 * len(entries):
            for rest in _without_each(entries, parts):
                smaller = msgspec.structs.replace(plan, **{name: rest})
                if self._smaller_if_failing(smaller, plan) is smaller:
                    plan, entries, parts = smaller, rest, max(2, parts - 1)
                    break
            else:
                parts *= 2
        return plan

    def _smaller_if_failing(self, smaller: Plan, plan: Plan) -> Plan:
        """The smaller plan if it fails too, else the plan."""
        if smaller == plan or not smaller.nodes or self.tries >= self._tries_max:
            return plan
        self.tries += 1
        return smaller if self._fails(smaller) else plan


def _without_each(entries: Sequence[_T], parts: int) -> Iterator[list[_T]]:
    """The entries without their first part, then without their second part, and so on."""
    size = max(1, len(entries) // parts)
    for begin in range(0, len(entries), size):
        yield [*entries[:begin], *entries[begin + size :]]


def _ordinary(plan: Plan) -> Iterator[Plan]:
    """The plan with ordinary weather, then with ordinary machines, then without its witnessed domain."""
    yield msgspec.structs.replace(plan, weather=Weather())
    yield msgspec.structs.replace(plan, nodes=[NodePlan(node.name) for node in plan.nodes])
    yield msgspec.structs.replace(plan, council=None)
