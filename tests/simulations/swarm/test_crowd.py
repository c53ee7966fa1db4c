"""Many nodes at once: the same figures again for the same seed, and nothing missing after a partition."""

from simulations.swarm.crowd import draw_crowd
from simulations.swarm.play import play


def test_a_crowd_that_was_parted_becomes_one() -> None:
    plan = draw_crowd(nodes=12, records=40, seed=1)

    result = play(plan)

    assert result.violations == []
    assert result.records == 40
    assert {name for tie in plan.ties for name in (tie.dialler, tie.acceptor)} == {node.name for node in plan.nodes}
