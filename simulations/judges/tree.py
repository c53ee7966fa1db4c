"""A node prunes the link of a listed peer only if it gets the same records from another listed peer.

Otherwise a stranger could send its news to two listed peers at once, so that they prune each other, and then forward
nothing. The two would still agree in the end, by announcements and repairs, but each record would take seconds instead
of milliseconds. So no other judge sees that.
"""

from node.node import Node
from simulations.judges.violation import OnViolation


class TreeJudge:
    """Looks at the prunes of each node after everything that happens on its links."""

    def __init__(self, on_violation: OnViolation) -> None:
        self._on_violation = on_violation

    def watch(self, name: str, node: Node) -> None:
        """Look at this node from its start on."""
        seen: dict[int, float] = {}

        def look() -> None:
            gossip = node.links.dissemination.gossip
            listed = {number for number, link in node.links.by_number.items() if link.snapshot.permission.name}
            news = {number: at for number, at in gossip.pruned().items() if seen.get(number) != at}
            seen.update(news)
            for number in listed.intersection(news):
                if not any(gossip.is_eager(each) for each in listed if gossip.is_up(each)):
                    self._on_violation(name, f"link {number} of a listed peer is pruned, and no other one is eager")

        node.links.watchers.append(look)
