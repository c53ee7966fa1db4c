"""Which finding decides the level of a whole checkup."""

import pytest

from node.checkup.finding import Finding, Level, fail, ok, warn, worst

OK, WARN, FAIL = ok("a", "fine"), warn("b", "so so", "look"), fail("c", "bad", "mend")


@pytest.mark.parametrize(
    ("findings", "level"),
    [([], Level.OK), ([OK], Level.OK), ([WARN, OK], Level.WARN), ([OK, FAIL, WARN], Level.FAIL)],
)
def test_the_worst_finding_decides_the_level_of_all(findings: list[Finding], level: Level) -> None:
    assert worst(findings) is level
