"""Named scenarios: each repeats something that has happened to real distributed systems, and says how it must end."""

from simulations.scenarios import hostility, outages, ownership, witnesses
from simulations.scenarios.registry import Scenario, perform

__all__ = ["SCENARIOS", "Scenario", "perform"]

SCENARIOS: dict[str, Scenario] = {
    it.name: it for it in (*ownership.SCENARIOS, *outages.SCENARIOS, *hostility.SCENARIOS, *witnesses.SCENARIOS)
}
