"""A council: the witnesses of one domain as real processes, each linked with each."""

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from node.client.http import NodeClient
from node.client.targets import path_of
from node.durable_files import write_durably
from node.witness.newest import path_of as newest_receipt_of
from node.witness.newest import spell_begin
from protocol.records.record import make, sign
from protocol.signing import SEED_BYTES, SigningKey
from protocol.witness.policy import Policy, make_policy
from simulations.processes.process import LocalNode, running

LINK_S_MAX: Final = 120.0
LOOK_EVERY_S: Final = 0.05

NO_QUOTAS: Final = ("--records-per-second-max", "none", "--bytes-per-second-max", "none")


class LocalCouncil:
    """The running witnesses. `domain` is the one that they witness."""

    def __init__(self, nodes: Sequence[LocalNode], keys: Sequence[str], policy: Policy) -> None:
        """`keys` are the public keys of the nodes, in their order."""
        self.nodes = nodes
        self.domain = f"org.example.{policy.name}"
        self._keys = keys
        self._policy = policy

    def link(self) -> None:
        """Have each node dial all before it, to push and to pull. Wait until all links are live."""
        for number, node in enumerate(self.nodes):
            with node.client() as client:
                for other, key in zip(self.nodes[:number], self._keys, strict=False):
                    _put_peer(client, url=other.link_url, push=True, pull=True, key=key)
            for other in self.nodes[:number]:
                with other.client() as client:
                    _put_peer(client, key=self._keys[number], accept=True)
        deadline_s = time.monotonic() + LINK_S_MAX
        while not all(map(_is_live, self.nodes)):
            assert time.monotonic() < deadline_s, "nodes on one machine did not link"
            time.sleep(LOOK_EVERY_S)

    def put_policy(self) -> None:
        """Put the policy of the domain on the first node. Anybody may sign it."""
        key = SigningKey(secrets.token_bytes(SEED_BYTES))
        fields = {"domain": self.domain, "label": "@policy", "signedby": key.public, "timestamp": int(time.time())}
        record = make(fields | self._policy.fields)
        with self.nodes[0].client() as client:
            client.ask("PUT", path_of("claims", sign(record, key).signature), body=record.canonical).check()


@contextmanager
def council(folder: Path, witnesses: int, faulty: int, *flags: str) -> Iterator[LocalCouncil]:
    """So many witnesses in this folder, of whom `faulty` may lie. `flags`: further flags of `dnarc serve`.

    Raises:
        LocalNodeError: a process did not start as a node.
    """
    seeds = [secrets.token_bytes(SEED_BYTES) for _ in range(witnesses)]
    keys = [SigningKey(seed).public for seed in seeds]
    policy = make_policy(keys, faulty)
    with ExitStack() as stack:
        nodes = []
        for number, seed in enumerate(seeds):
            data = folder / f"witness-{number}"
            data.mkdir(parents=True)
            (data / "node.key").write_text(seed.hex())
            (data / "node.key").chmod(0o600)
            domain = f"org.example.{policy.name}"
            write_durably(newest_receipt_of(data, domain), spell_begin(None))
            nodes.append(stack.enter_context(running(f"witness {number}", data, "--witness", domain, *flags)))
        seated = LocalCouncil(nodes, keys, policy)
        seated.link()
        seated.put_policy()
        yield seated


def _put_peer(client: NodeClient, **peer: Any) -> None:
    client.ask("PUT", "/peers", body=json.dumps(peer).encode()).check()


def _is_live(node: LocalNode) -> bool:
    with node.client() as client:
        return all((peer.get("link") or {}).get("state") == "live" for peer in client.get("/peers"))
