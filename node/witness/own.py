"""This node as a witness of one domain: it feeds the voter with what is committed, and lets its receipts leave.

The voter (`protocol.witness.voter`) decides what to say. A receipt is signed, written to the file of the newest
receipt, and only then taken in like any other record; so it is stored, announced to all links, and committed. The voter
hears of its own receipt as of any other: by the commit.

A witness acts only on what is on its own disk, because what it counted has to survive a crash. The state by which the
intake decides runs ahead of the disk. So the witness keeps a state of its own, which goes with the commits.

The witness is silent until it knows all that it ever said: its whole chain up to the newest receipt, and every record
that the chain names.
"""

import asyncio
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Final

import structlog

from node.intake.arrivals import Delivery, Origin
from node.intake.commits import Committed
from node.intake.ingest import Ingest
from node.witness.newest import Begun, UnreadableError, path_of, read_begun, spell_receipt
from node.world import World
from protocol.errors import ProtocolError
from protocol.records.admission import Trust
from protocol.records.record import Record, SignedRecord, make, sign
from protocol.signing import SigningKey
from protocol.witness.domain import DomainChange, WitnessedDomain
from protocol.witness.voter import OpenSlot, Voter

LOOK_EVERY_S: Final = 1.0
"""Seconds between two looks for the file, while the operator has not said how to begin."""

RETRY_AFTER_S: Final = 1.0
"""Seconds until a receipt is stored again that the intake did not take."""

_OWN: Final = Origin(Trust.PEER)
_LIVE: Final = Delivery(waits=True)

log = structlog.get_logger()


class Silence(StrEnum):
    """Why a witness says nothing."""

    NO_POLICY = "the policy of the domain is not here yet"
    NO_WITNESS = "the policy of the domain does not name this node's key"
    NOT_BEGUN = "the operator has not said how to begin: `dnarc witness begin`"
    UNREADABLE = (
        "the file of its newest receipt is damaged: move it away, and say with `dnarc witness begin --last` what it was"
    )
    CHAIN_MISSING = "receipts that it signed before, or records that they name, are not here yet"

    @property
    def reason(self) -> str:
        """A short name that stays the same, for programs."""
        return self.name.lower()

    @property
    def remedy(self) -> str:
        """What the operator can do about it."""
        return _REMEDIES[self]


_REMEDIES: Final = {
    Silence.NO_POLICY: "link this node to one that holds the domain, or put the policy with `dnarc witness new`",
    Silence.NO_WITNESS: "take the domain out of the setting `witness`, or start the node with the key that was named",
    Silence.NOT_BEGUN: "`dnarc witness begin DOMAIN`; with --last, if this key ever witnessed the domain",
    Silence.UNREADABLE: "look for the newest receipt on several other nodes before; docs/witnesses.md says how",
    Silence.CHAIN_MISSING: "link this node to others that hold the domain: it goes on by itself when all is here",
}


class OwnWitness:
    """This node as a witness of `domain`. `silence` is why it says nothing, None while it speaks."""

    def __init__(self, domain: WitnessedDomain, key: SigningKey, world: World, data: Path, ingest: Ingest) -> None:
        """`domain` is as the store has it, and nobody else changes it. `data` is the data folder of the node."""
        self.domain = domain
        self.silence: Silence | None = Silence.NO_POLICY
        self._key = key
        self._world = world
        self._path = path_of(data, domain.name)
        self._ingest = ingest
        self._voter: Voter | None = None
        self._moved = asyncio.Event()
        self._clock: Callable[[], float] = asyncio.get_running_loop().time

    def open_slots(self) -> list[OpenSlot]:
        """The slots that this witness still works on."""
        return [] if self._voter is None else list(self._voter.open_slots())

    async def run(self) -> None:
        """Begin when that is possible, then speak until cancelled.

        Raises:
            OSError: the file of the newest receipt cannot be written.
        """
        begun = await self._begin()
        await self._wait_until(lambda: self._knows_all(begun), Silence.CHAIN_MISSING)
        self._voter = self._awake(begun)
        self._say_why(None)
        log.info("witness speaks", domain=self.domain.name, newest=begun.newest)
        while True:
            await self._speak(self._voter)
            await self._wait(self._voter)

    def on_commit(self, committed: Committed) -> None:
        """Tell the voter of what is on disk now."""
        records = [stored.signed.record for stored in committed.batch.records]
        change = self.domain.add(record for record in records if record.domain == self.domain.name)
        if self._voter is not None:
            self._feed(self._voter, change)
        self._moved.set()

    async def _begin(self) -> Begun:
        """Wait for the policy and for the operator's word, and take in the newest receipt again."""
        await self._wait_until(lambda: self.domain.policy is not None, Silence.NO_POLICY)
        await self._wait_until(self._is_witness, Silence.NO_WITNESS)
        while (begun := await self._read_begun()) is None:  # noqa: ASYNC110 - a person writes the file
            await asyncio.sleep(LOOK_EVERY_S)
        if begun.receipt is not None:
            await self._store(begun.receipt)
        return begun

    async def _read_begun(self) -> Begun | None:
        try:
            begun = await read_begun(self._world.disk, self._path)
        except UnreadableError:
            self._say_why(Silence.UNREADABLE)
            return None
        if begun is None:
            self._say_why(Silence.NOT_BEGUN)
        return begun

    def _is_witness(self) -> bool:
        return self.domain.policy is not None and self._key.public in self.domain.policy.witnesses

    def _knows_all(self, begun: Begun) -> bool:
        """Whether the chain up to the newest receipt is here, and every record that it names."""
        testimony = self.domain.testimony
        assert testimony is not None, "a domain with a policy has a testimony"
        if begun.newest is not None and testimony.at_of(begun.newest) is None:
            return False
        return all(record_id in self.domain for record_id in testimony.said_by(self._key.public))

    def _awake(self, begun: Begun) -> Voter:
        """The voter as it was when the newest receipt left, with all slots that are open now."""
        policy, testimony = self.domain.policy, self.domain.testimony
        assert policy is not None, "the witness waited for the policy"
        assert testimony is not None, "a domain with a policy has a testimony"
        voter = Voter(self.domain.name, policy, self._key.public, testimony)
        if begun.newest is not None:
            at_ms = testimony.at_of(begun.newest)
            assert at_ms is not None, "the witness waited for its chain"
            voter.resume(begun.newest, at_ms)
        self._open(voter, self.domain.contenders())
        return voter

    def _feed(self, voter: Voter, change: DomainChange) -> None:
        for key in self.domain.closed_slots(change):
            voter.on_closed(key)
        self._open(voter, self.domain.new_contenders(change))
        voter.on_testimony(change.said)

    def _open(self, voter: Voter, contenders: Iterable[Record]) -> None:
        """Tell the voter of the records that can still win. It knows some of them already."""
        for record in contenders:
            if not voter.knows(record.id):
                voter.on_candidate((record.label, record.prev), record.id, self._now_ms(voter))

    async def _speak(self, voter: Voter) -> None:
        """Let every receipt leave that is due."""
        voter.go_on(self._now_ms(voter))
        while (fields := voter.draft(self._now_ms(voter))) is not None:
            receipt = sign(make(fields), self._key)
            await self._world.disk.write(self._path, spell_receipt(receipt))
            voter.on_signed(receipt.record.id, fields["at"])
            await self._store(receipt)
            voter.go_on(self._now_ms(voter))

    async def _store(self, receipt: SignedRecord) -> None:
        """Take the receipt in, however long that takes: it is written, so it counts as said."""
        while True:
            try:
                await self._ingest.take_records([receipt], _OWN, _LIVE)
            except ProtocolError as error:
                log.warning("receipt waits", domain=self.domain.name, error=str(error))
                await asyncio.sleep(RETRY_AFTER_S)
            else:
                return

    async def _wait(self, voter: Voter) -> None:
        """Wait for a commit, or for the next time at which the voter has something to do."""
        next_at_ms = voter.next_at_ms
        seconds = None if next_at_ms is None else max(0.0, (next_at_ms - self._now_ms(voter)) / 1000)
        try:
            async with asyncio.timeout(seconds):
                await self._moved.wait()
        except TimeoutError:
            pass
        self._moved.clear()

    async def _wait_until(self, is_met: Callable[[], bool], silence: Silence) -> None:
        while not is_met():
            self._say_why(silence)
            self._moved.clear()
            await self._moved.wait()

    def _say_why(self, silence: Silence | None) -> None:
        if silence is not None and silence is not self.silence:
            log.warning("witness is silent", domain=self.domain.name, reason=str(silence))
        self.silence = silence

    def _now_ms(self, voter: Voter) -> int:
        """The time for the voter, by a clock that never goes back. Also tells it what the wall clock shows."""
        now_ms = int(self._clock() * 1000)
        voter.wall_offset_ms = int(self._world.now_s() * 1000) - now_ms
        return now_ms
