"""The last part of the demo: a domain with four witnesses, a thief, a killed witness, and a proof without nodes."""

import secrets
import time
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from node.client.answers import signed_record_of_line
from node.client.http import NodeClient
from node.client.targets import head_of, path_of, proof_of
from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SEED_BYTES, SigningKey
from protocol.witness.proof import check_proof
from simulations.processes.council import council

LABEL: Final = "garden"
A_YEAR_S: Final = 365 * 86_400
WAIT: Final = {"Prefer": "wait=30"}


def tell_of_witnesses(folder: Path, console: Console) -> bool:
    """Play this part in a folder of its own. Returns whether all went as it should."""
    alice, mallory = (SigningKey(secrets.token_bytes(SEED_BYTES)) for _ in range(2))
    with council(folder, 4, 1) as seated:
        domain, (first, *_, last) = seated.domain, seated.nodes
        console.print(f"\nFour witnesses, of which one may lie, share the domain\n{domain}.")
        with first.client() as client:
            founded = _claim(domain, alice, int(time.time()), gate="green")
            begun_s = time.monotonic()
            is_final = _put(client, founded)
            console.print(f"Alice founds her [b]{LABEL}[/b]: final after {time.monotonic() - begun_s:.2f} s.")
            _put(client, _claim(domain, mallory, int(time.time()) - A_YEAR_S, gate="red"))
            is_kept = _head(client, domain) == founded.record.id
            console.print("A listed peer brings a founding by Mallory that is dated a year earlier: the head stays.")
            last.kill()
            console.print("One witness is killed (kill -9). Three of four are a quorum:")
            updated = _claim(domain, alice, int(time.time()), prev=founded.record.id, gate="blue")
            is_final &= _put(client, updated)
            console.print("Alice's next claim is final too.")
            last.start()
            is_kept &= _head(client, domain) == updated.record.id
            lines = list(client.lines(*proof_of(domain, LABEL)))
    proven = check_proof(domain, LABEL, list(map(signed_record_of_line, lines)))
    console.print(
        f"All nodes are stopped. The proof of {len(lines)} records shows offline that {proven.policy.quorum} of "
        f"{len(proven.policy.witnesses)} witnesses decided {len(proven.chain)} claims."
    )
    return is_final and is_kept and proven.head == updated.record


def _claim(domain: str, key: SigningKey, at: int, **fields: Any) -> SignedRecord:
    return sign(make({"domain": domain, "label": LABEL, "signedby": key.public, "timestamp": at} | fields), key)


def _put(client: NodeClient, signed: SignedRecord) -> bool:
    """Put the record as a peer would, and wait for the end of its race. Returns whether it is final."""
    path = path_of("claims", signed.signature)
    return client.ask("PUT", path, body=signed.record.canonical, headers=WAIT).status == 201


def _head(client: NodeClient, domain: str) -> str:
    return client.ask("GET", *head_of(domain, LABEL)).headers["etag"].strip('"')
