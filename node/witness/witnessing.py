"""Witnessing: this node in all the domains that it witnesses. The setting `witness` names them."""

from collections.abc import Callable, Iterable, Iterator

from node.intake.commits import Committed
from node.tasks import Tasks
from node.witness.own import OwnWitness


class Witnessing:
    """The node as a witness, by domain."""

    def __init__(self, own: Iterable[OwnWitness], on_failure: Callable[[BaseException], None]) -> None:
        """`on_failure` is called with an error because of which the node has to stop."""
        self._own = {witness.domain.name: witness for witness in own}
        self._tasks = Tasks(on_failure)

    def __iter__(self) -> Iterator[OwnWitness]:
        return iter(self._own.values())

    def start(self) -> None:
        for name, own in self._own.items():
            self._tasks.start(own.run(), f"witness of {name}")

    async def close(self) -> None:
        await self._tasks.close()

    def on_commit(self, committed: Committed) -> None:
        """Tell the witnesses of the domains that the commit touched."""
        for name in committed.batch.walked:
            own = self._own.get(name)
            if own is not None:
                own.on_commit(committed)
