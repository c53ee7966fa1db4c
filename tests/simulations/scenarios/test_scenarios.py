"""Every named scenario ends as it says. Each takes a fraction of a second, but for a few that carry many records."""

import pytest

from simulations.scenarios import SCENARIOS, perform


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_ends_as_it_says(name: str) -> None:
    result = perform(SCENARIOS[name])

    assert result.violations == []
