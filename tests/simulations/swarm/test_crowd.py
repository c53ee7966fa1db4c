"""Many nodes at once: no record is missing after a partition."""

from simulations.swarm.crowd import draw_crowd
from simulations.swarm.play import play


def test_the_nodes_of_a_crowd_agree_after_a_partition() -> None:
    records = 40
    plan = draw_crowd(nodes=12, records=records, seed=1)

    result = play(plan)

    assert result.violations == []
    assert result.records == records
    assert {name for tie in plan.ties for name in (tie.dialler, tie.acceptor)} == {node.name for node in plan.nodes}
