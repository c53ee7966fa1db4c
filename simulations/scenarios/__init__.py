"""Named scenarios: each repeats something that has happened to real distributed systems, and says how it must end."""

from simulations.scenarios import hostility, late_votes, outages, ownership, witnesses
from simulations.scenarios.registry import Scenario, perform

__all__ = ["SCENARIOS", "Scenario", "perform"]

SCENARIOS: dict[str, Scenario] = {
    it.name: it for module in (ownership, outages, hostility, witnesses, late_votes) for it in module.SCENARIOS
}
