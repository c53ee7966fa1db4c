"""What touches the world and is therefore handed in: the clock, chance, the disk, threads.

The network is not among them: whoever runs the event loop chooses it. A simulation hands in others and runs the same
node.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random, SystemRandom

from node.disk import Disk, LocalDisk, TokenBytes
from node.verification.verifier import ThreadedVerifier, Verifier


@dataclass(frozen=True)
class World:
    """`now_s` is the wall clock in seconds since the Unix epoch; `random` spreads retries, and guards nothing
    secret; `token_bytes` makes keys and nonces. `open_verifier` is given the number of threads, None: one per core.
    """

    now_s: Callable[[], float] = time.time
    random: Random = field(default_factory=SystemRandom)
    token_bytes: TokenBytes = secrets.token_bytes
    disk: Disk = field(default_factory=LocalDisk)
    open_verifier: Callable[[int | None], Verifier] = ThreadedVerifier
