"""A pipeline on a real store and without a network, for tests of the intake."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from node.fairness.turns import Turns
from node.heads import Heads
from node.indexes import Indexes
from node.intake.arrivals import BY_REQUEST, Delivery, Origin, Submission
from node.intake.commit_delay import CommitDelay
from node.intake.commits import STALLED_S, Commits
from node.intake.decider import Stored
from node.intake.ingest import Ingest
from node.intake.witnessed_domains import WitnessedDomains, records_max_of
from node.settings.settings import Settings
from node.store.sqlite import SqliteStore
from node.world import World
from node.write_plugin.plugin import WritePlugin
from protocol.records.admission import Trust
from protocol.records.outcome import Outcome
from protocol.records.record import Record, SignedRecord
from protocol.records.replay import replay
from tests.history import signed

NOW = 1_000_000
"""The node's clock, in seconds since the Unix epoch."""

CLIENT = Origin(Trust.CLIENT)
PEER = Origin(Trust.PEER)
WAITING = Delivery(waits=True)
"""How a peer delivers: its link waits while the pipeline is full."""


@dataclass
class Pipeline:
    """The parts that a node connects with `ingest`."""

    store: SqliteStore
    indexes: Indexes
    heads: Heads
    commits: Commits
    ingest: Ingest
    witnessed: WitnessedDomains
    plugin: WritePlugin | None = None

    async def take(self, *records: Record, origin: Origin = CLIENT) -> list[Outcome]:
        delivery = WAITING if origin is PEER else BY_REQUEST
        return await self.ingest.take([submission(signed(record)) for record in records], origin, delivery)

    async def verdicts(self, domain: str, label: str) -> dict[str, str]:
        """The verdicts of a label in the store, by record id."""
        return {past.record.id: past.verdict for past in await self.store.history(domain, label)}

    async def matches_replay(self, domain: str, label: str) -> bool:
        """Whether state and verdicts in the store are equal to a replay of the whole history."""
        history = await self.store.history(domain, label)
        judged = replay(past.record for past in history)
        states = await self.store.states([(domain, label)])
        return states[domain, label] == judged.state and judged.verdicts == await self.verdicts(domain, label)


@asynccontextmanager
async def pipeline(
    folder: Path,
    stalled_s: float = STALLED_S,
    store_type: type[SqliteStore] = SqliteStore,
    now_s: int = NOW,
    delay: CommitDelay | None = None,
    **settings: Any,
) -> AsyncIterator[Pipeline]:
    """A pipeline on a store in this folder, until the block ends. `stalled_s`, `delay`: as in `Commits`."""
    chosen = Settings(data=folder, **settings)
    world = World(now_s=lambda: now_s, random=Random(0))
    store = await store_type.open(folder / "dnarc.db")
    indexes = await Indexes.load(store)
    heads = Heads(store, chosen.heads_cached_bytes_max)
    commits = Commits(store, indexes, chosen.commit_records_max, stalled_s, delay)
    commits.watchers.append(lambda committed: heads.on_commit(committed.events))
    witnessed = await WitnessedDomains.load(store, indexes, records_max_of(chosen))
    stored = Stored(store, indexes, witnessed, await store.domain_usage())
    plugin = None
    if chosen.write_plugin is not None:
        plugin = WritePlugin(chosen.write_plugin, chosen.write_plugin_timeout, world)
        await plugin.start()
    ingest = Ingest(chosen, world, stored, commits, Turns(), plugin)
    ingest.start()
    try:
        yield Pipeline(store, indexes, heads, commits, ingest, witnessed, plugin)
    finally:
        if plugin is not None:
            await plugin.close()
        await commits.close()
        ingest.close()
        await store.close()


def submission(record: SignedRecord) -> Submission:
    return Submission(record.signature, record.record.canonical)


def codes(outcomes: Iterable[Outcome]) -> list[str]:
    """What became of each submission: its error code, or its status."""
    return [outcome.code or outcome.status for outcome in outcomes]
