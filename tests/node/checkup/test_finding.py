"""Which finding decides how a checkup ends."""

import pytest

from node.checkup.finding import Finding, State, fail, ok, warn, worst

OK, WARN, FAIL = ok("a", "fine"), warn("b", "so so", "look"), fail("c", "bad", "mend")


@pytest.mark.parametrize(
    ("findings", "state"),
    [([], State.OK), ([OK], State.OK), ([WARN, OK], State.WARN), ([OK, FAIL, WARN], State.FAIL)],
)
def test_the_worst_finding_is_the_state_of_all(findings: list[Finding], state: State) -> None:
    assert worst(findings) is state
