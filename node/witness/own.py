"""This node as a witness of one domain: it feeds the voter with what is committed, and lets its receipts leave.

The voter (`protocol.witness.voter`) decides what to say. A receipt is signed, written to the file of the newest
receipt, and only then taken in like any other record; so it is stored, announced to all links, and committed. The voter
hears of its own receipt as of any other: by the commit.

A witness acts only on what is on its own disk, because what it counted has to survive a crash. The state by which the
intake decides runs ahead of the disk. So the witness goes by the changes that are committed, and keeps what was said of
the candidates that can still win.

The witness is silent until it knows all that it ever said: its whole chain up to the newest receipt, and every record
that the chain names.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
import structlog

from node.intake.arrivals import Delivery, Origin
from node.intake.commits import Committed
from node.intake.ingest import Ingest
from node.store.contract import Store
from node.witness.labels import read_contenders
from node.witness.newest import Begun, UnreadableError, path_of, read_begun, spell_receipt
from node.world import World
from protocol.errors import ProtocolError
from protocol.records.admission import Trust
from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey
from protocol.witness.change import Contender, DomainChange
from protocol.witness.domain import WitnessedDomain
from protocol.witness.testimony import Evidence, add_said
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


class Records(msgspec.Struct, frozen=True):
    """Where the records of a node are: the way in, and the store."""

    ingest: Ingest
    store: Store


class OwnWitness:
    """This node as a witness of `domain`. `silence` is why it says nothing, None while it speaks."""

    def __init__(self, domain: WitnessedDomain, key: SigningKey, world: World, data: Path, records: Records) -> None:
        """`domain` is that of the intake. `data` is the data folder of the node."""
        self.domain = domain
        self.silence: Silence | None = Silence.NO_POLICY
        self._key = key
        self._world = world
        self._path = path_of(data, domain.name)
        self._ingest, self._held = records.ingest, records.store
        self._evidence: dict[str, Evidence] = {}
        self._voter: Voter | None = None
        self._moved = asyncio.Event()
        self._clock: Callable[[], float] = asyncio.get_running_loop().time

    def open_slots(self) -> Iterator[OpenSlot]:
        """The slots that this witness still works on, those first that it has worked on for longest."""
        return iter(()) if self._voter is None else self._voter.open_slots()

    @property
    def open_count(self) -> int:
        """How many slots this witness still works on."""
        return 0 if self._voter is None else self._voter.open_count

    async def run(self) -> None:
        """Begin when that is possible, then speak until cancelled.

        Raises:
            OSError: the file of the newest receipt cannot be written.
        """
        begun = await self._begin()
        await self._wait_for_all(begun)
        voter = await self._awake(begun)
        self._say_why(None)
        log.info("witness speaks", domain=self.domain.name, newest=begun.newest)
        while True:
            await self._speak(voter)
            await self._wait(voter)

    def on_commit(self, committed: Committed) -> None:
        """Tell the voter which records are on disk now."""
        if self._voter is not None:
            self._feed(self._voter, committed.batch.walked[self.domain.name])
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

    async def _wait_for_all(self, begun: Begun) -> None:
        """Wait until all that the witness ever said is here."""
        while not await self._knows_all(begun):
            self._say_why(Silence.CHAIN_MISSING)
            await self._moved.wait()
            self._moved.clear()

    async def _knows_all(self, begun: Begun) -> bool:
        """Whether the chain up to the newest receipt is here, and every record that it names."""
        spoken = await self._held.spoken(self.domain.name, self._key.public, begun.newest)
        return not spoken.lacks and (begun.newest is None or spoken.at_ms is not None)

    async def _awake(self, begun: Begun) -> Voter:
        """The voter as it was when the newest receipt left, with all slots that are open now."""
        policy, name = self.domain.policy, self.domain.name
        assert policy is not None, "the witness waited for the policy"
        voter = Voter(name, policy, self._key.public, self._evidence.__getitem__)
        async with self._ingest.at_rest():  # so that no commit comes between what is read here and what is fed later
            if begun.newest is not None:
                spoken = await self._held.spoken(name, self._key.public, begun.newest)
                assert spoken.at_ms is not None, "the witness waited for its chain"
                voter.resume(begun.newest, spoken.at_ms)
            async for contenders in read_contenders(self._held, name, policy):
                self._open(voter, contenders)
            self._voter = voter
        return voter

    def _feed(self, voter: Voter, change: DomainChange) -> None:
        for key in change.closed:
            for record_id in voter.on_closed(key):
                del self._evidence[record_id]
        add_said(self._evidence, {each: more for each, more in change.said.items() if each in self._evidence})
        self._open(voter, change.opened)
        voter.on_testimony(change.said)

    def _open(self, voter: Voter, contenders: Iterable[Contender]) -> None:
        """Tell the voter of the records that can still win. It knows some of them already."""
        now_ms = self._now_ms(voter)
        for each in contenders:
            record = each.record
            if not voter.knows(record.id):
                self._evidence[record.id] = each.evidence
                voter.on_candidate((record.label, record.prev), record.id, now_ms)

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
