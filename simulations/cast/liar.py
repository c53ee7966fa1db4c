"""A liar: somebody who holds the key of a witness, and signs whatever harms.

A liar brings receipts as a client, one at a time, to any machine that is up. Everybody takes the receipts of a witness,
so lies reach every node in the end. Halves of the network hear different ones first.
"""

import asyncio
from collections.abc import Callable, Mapping
from enum import StrEnum
from random import Random
from typing import Any, Final

from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey
from protocol.witness.domain import WitnessedDomain
from protocol.witness.receipt import receipt_label
from simulations.cast.machine import Machine
from simulations.cast.user import Reply, User

PAUSE_S: Final = (0.3, 3.0)
"""Seconds between two lies: the least and the most."""

ROUNDS: Final = 4
"""A liar votes and commits in rounds below this."""

OLD_S: Final = 100_000
"""Seconds by which a record that a liar names is older than any node takes from a client."""

_REFUSALS: Final = ("too_old", "stale", "not_owner")
"""Codes with which a node refuses a record because of its content."""

NAMINGS_MAX: Final = 4
"""Records that a liar names and then brings, because each of them begins a race."""

NAMED_S_MAX: Final = 20.0
"""Seconds within which a node learns of a receipt that it was given."""


class LieKind(StrEnum):
    """How a witness lies."""

    SILENT = "silent"  # says nothing
    CHANCE = "chance"  # forks, and votes and commits by chance
    TWO_FACED = "two_faced"  # supports one rival before one half of the machines, and another before the others
    BACKDATED = "backdated"  # one chain of receipts, whose entries are older than the receipt before
    NAMING = "naming"  # names records that no client may bring, and then brings one as a client


class Liar:
    """The witness whose key this user holds, in this domain."""

    def __init__(
        self,
        user: User,
        domain: str,
        kind: LieKind,
        machines: Mapping[str, Machine],
        on_violation: Callable[[str, str], None],
    ) -> None:
        """`machines`: all of them, in the order in which they fall into halves. `on_violation`: told of a node that
        refuses what it must take, with the machine and the words.
        """
        self._on_violation = on_violation
        self._user = user
        self._domain = domain
        self._kind = kind
        self._machines = machines
        self._random: Random = user.stream
        self._namings = 0
        self._newest: dict[int, tuple[str, int]] = {}
        """The last receipt of each of the liar's chains, and its `at`."""

    async def lie(self) -> None:
        """Lie until cancelled."""
        while True:
            await asyncio.sleep(self._random.uniform(*PAUSE_S))
            up = [machine for machine in self._machines.values() if machine.node is not None]
            if up and self._kind is not LieKind.SILENT:
                await self._lie_to(self._random.choice(up))

    async def _lie_to(self, machine: Machine) -> None:
        domain = machine.disk.walked(self._domain)
        if domain.policy is None:
            return
        if self._kind is LieKind.NAMING:
            if self._namings < NAMINGS_MAX:
                self._namings += 1
                await self._name(machine)
            return
        slots = _slots(domain)
        if slots:
            await self._put(machine, self._lies(machine, slots))

    def _lies(self, machine: Machine, slots: list[list[str]]) -> SignedRecord:
        candidates = self._random.choice(slots)
        if self._kind is LieKind.CHANCE:
            return self._by_chance(candidates)
        if self._kind is LieKind.TWO_FACED:
            half = list(self._machines).index(machine.name) % 2
            return self._supporting(sorted(candidates)[half % len(candidates)], half)
        return self._backdated(candidates)

    def _by_chance(self, candidates: list[str]) -> SignedRecord:
        one, other = (self._random.choice(candidates) for _ in range(2))
        chain = self._random.choice((0, 0, self._random.getrandbits(30)))
        vote = {str(self._random.randint(1, ROUNDS)): [one]}
        commit = {str(self._random.randrange(ROUNDS)): [other]}
        return self._receipt(chain, first={one: self._now_ms()}, vote=vote, commit=commit)

    def _supporting(self, record_id: str, half: int) -> SignedRecord:
        """All that a witness can say for a record."""
        votes = {str(number): [record_id] for number in range(1, ROUNDS)}
        return self._receipt(half, first={record_id: self._now_ms()}, vote=votes, commit={"0": [record_id], **votes})

    def _backdated(self, candidates: list[str]) -> SignedRecord:
        before_ms = self._newest.get(0, ("", 2_000))[1]
        times = {each: before_ms - self._random.randrange(1_000) for each in candidates}
        number = str(self._random.randint(1, ROUNDS))
        return self._receipt(0, seen=times, vote={number: [self._random.choice(candidates)]})

    async def _name(self, machine: Machine) -> None:
        """Name a record that is older than a client may bring, and bring it to a machine that knows of that."""
        user = self._user
        late = user.sign(f"named-{self._random.randrange(3)}", int(user.clock.now_s()) - OLD_S, domain=self._domain)
        await self._put(machine, self._receipt(0, first={late.record.id: self._now_ms()}))
        for _ in range(int(NAMED_S_MAX)):
            await asyncio.sleep(1)
            node = machine.node
            if node is not None and machine.disk.walked(self._domain).is_named(late.record.id):
                reply = await user.put(machine, late)
                is_restarted = machine.node is not node  # perhaps from a backup without the receipt (seed 8131092)
                if not is_restarted and reply.status == "refused" and reply.code in _REFUSALS:
                    words = f"record {late.record.id[:8]} is refused as {reply.code}, and a held receipt names it"
                    self._on_violation(machine.name, words)
                return

    def _receipt(self, chain: int, **said: Any) -> SignedRecord:
        """The next receipt of one of the liar's chains. More than one chain is a fork."""
        before, before_ms = self._newest.get(chain, (None, 0))
        at_ms = max(self._now_ms(), before_ms + 1)
        more = said | {"n": chain} | ({} if before is None else {"prev": before})
        receipt = forge(self._user.key, self._domain, at_ms, **more)
        self._newest[chain] = (receipt.record.id, at_ms)
        return receipt

    async def _put(self, machine: Machine, receipt: SignedRecord) -> Reply:
        return await self._user.put(machine, receipt)

    def _now_ms(self) -> int:
        return int(self._user.clock.now_s() * 1_000)


def forge(key: SigningKey, domain: str, at_ms: int, **said: Any) -> SignedRecord:
    """A receipt by this key, with any content. `at_ms`: its `at`."""
    label, timestamp = receipt_label(key.public), at_ms // 1_000
    fields = {"domain": domain, "label": label, "signedby": key.public, "timestamp": timestamp, "at": at_ms}
    return sign(make(fields | said), key)


def _slots(domain: WitnessedDomain) -> list[list[str]]:
    """The ids that may stand in each slot that is open on a node, rivals first."""
    labels = [label for name in domain.labels if (label := domain.label(name)) is not None]
    places = [(label, prev) for label in labels for prev in label.slots_from(None) if label.is_open(prev)]
    slots = [[each.id for each in label.candidates(prev)] for label, prev in places]
    return [slot for slot in slots if slot]
