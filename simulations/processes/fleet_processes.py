"""The processes of a fleet on this machine: who of them writes, and whether they hold the same."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from node.client.errors import ClientError
from node.client.http import NodeClient
from simulations.processes.process import LocalNode

DOMAIN: Final = "fleet.example"
"""The domain of all claims of a run."""

TIMEOUT_S: Final = 5.0
"""How long a look at a process may take."""

WAIT_S_MAX: Final = 120.0
"""How long any step may take before the run counts as failed."""

POLL_S: Final = 0.01


class Processes:
    """The processes of the fleet, and what they say of themselves."""

    def __init__(self, nodes: Sequence[LocalNode]) -> None:
        self.nodes = list(nodes)

    def standings(self, without: LocalNode | None = None) -> dict[str, dict[str, Any]]:
        """What each process that answers says of its place in the fleet, by name. `without`: one that is not asked."""
        found = {}
        for node in self.nodes:
            if node.process.poll() is None and node is not without:
                with suppress(ClientError), NodeClient(node.url, timeout_s=TIMEOUT_S) as client:
                    found[node.name] = client.get("/node")["fleet"]
        return found

    def await_writer(self, after_term: int, without: LocalNode | None = None) -> tuple[LocalNode, int]:
        """The process that writes in a term after this one, and its term. `without`: one that is not asked.

        Raises:
            TimeoutError: there is none.
        """
        for _ in patiently("no process took over"):
            for name, standing in self.standings(without).items():
                if standing["role"] == "writer" and standing["term"] > after_term:
                    return next(node for node in self.nodes if node.name == name), int(standing["term"])
        raise AssertionError("`patiently` ends by an error")

    def await_follower(self, node: LocalNode) -> None:
        """Wait until this process follows. Raises: TimeoutError: it does not."""
        for _ in patiently(f"{node.name} does not follow"):
            if self.standings().get(node.name, {}).get("role") == "follower":
                return

    def await_one_state(self) -> None:
        """Wait until all processes hold the same records. Raises: TimeoutError: they differ."""
        for _ in patiently("the processes differ"):
            held = []
            for node in self.nodes:
                with NodeClient(node.url, timeout_s=TIMEOUT_S) as client:
                    held.append(client.get("/node")["domains"].get(DOMAIN))
            if all(each == held[0] for each in held):
                return


def patiently(what: str) -> Iterator[None]:
    """Tries with pauses. Raises: TimeoutError: `WAIT_S_MAX` are over."""
    deadline_s = time.monotonic() + WAIT_S_MAX
    while time.monotonic() < deadline_s:
        yield
        time.sleep(POLL_S)
    raise TimeoutError(f"{what} after {WAIT_S_MAX:.0f} s")


@contextmanager
def three_processes(url: str, folder: Path) -> Iterator[Processes]:
    """Three processes on this database. The first one makes the tables, and the key of the fleet.

    Raises:
        LocalNodeError: a process did not start.
    """
    with ExitStack() as stack:
        nodes = []
        for name in ("one", "two", "three"):
            node = LocalNode(name, folder / name, ("--store", url))
            node.start()
            stack.callback(node.stop)
            nodes.append(node)
        yield Processes(nodes)
