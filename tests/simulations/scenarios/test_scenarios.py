"""Every named scenario ends as it expects. Most take a fraction of a second, and those with many records a
few seconds.
"""

import pytest

from simulations.scenarios import SCENARIOS, perform


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_ends_as_it_expects(name: str) -> None:
    result = perform(SCENARIOS[name])

    assert result.violations == []
