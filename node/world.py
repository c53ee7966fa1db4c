"""World: everything outside the node that it touches: clock, randomness, disk, threads, and the sockets that listen.

The node gets its world from outside, so that a simulation can hand in another world and run the same node. The rest of
the network is missing here, because the event loop provides it, and a simulation brings an event loop of its own.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random, SystemRandom

from node.disk import Disk, LocalDisk, TokenBytes
from node.exact_decoding import Decoder, ThreadedDecoder
from node.listening import OpenSockets, open_sockets
from node.verification.verifier import ParallelVerifier, Verifier


@dataclass(frozen=True)
class World:
    """The world of one node; by default this machine.

    `now_s` is the wall clock, in seconds since the Unix epoch. `processor_s` is the processor time of the thread that
    asks, in seconds: it stands still in a simulation, where it may decide nothing. `random` spreads retries and
    protects no secret. `token_bytes` makes keys and nonces. `open_verifier` gets the number of threads, None: one
    thread per core.
    """

    now_s: Callable[[], float] = time.time
    processor_s: Callable[[], float] = time.thread_time
    random: Random = field(default_factory=SystemRandom)
    token_bytes: TokenBytes = secrets.token_bytes
    disk: Disk = field(default_factory=LocalDisk)
    open_verifier: Callable[[int | None], Verifier] = ParallelVerifier
    open_decoder: Callable[[], Decoder] = ThreadedDecoder
    open_sockets: OpenSockets = open_sockets
