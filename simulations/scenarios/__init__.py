"""Named scenarios: each tells what has happened to somebody's distributed system, and says how it must end in ours."""

from simulations.scenarios import hostility, outages, ownership
from simulations.scenarios.registry import Scenario, perform

__all__ = ["SCENARIOS", "Scenario", "perform"]

SCENARIOS: dict[str, Scenario] = {
    it.name: it for it in (*ownership.SCENARIOS, *outages.SCENARIOS, *hostility.SCENARIOS)
}
