"""Watched domains: those whose witnesses an operator has to look after, and how each of them does.

Anybody can name a domain with witnesses of their own, and let them lie or be silent. A node that takes all domains
would then raise alarms that strangers cause. So a node watches only the domains that it witnesses, and those that the
setting `domains` names.
"""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from node.intake.commits import Committed
from node.intake.witnessed_domains import WitnessedDomains
from node.settings.settings import Settings
from node.store.contract import Store
from node.witness.labels import read_contenders
from node.witness.own import OwnWitness
from node.witness.races import OpenRace, Races
from node.witness.witnessing import Witnessing
from protocol.records.record import is_witnessed
from protocol.witness.domain import WitnessedDomain

WATCHED_MAX: Final = 20
"""Domains that are watched. The figures of a domain with 16 witnesses are about 80 series."""

UNHEARD_AFTER_S: Final = 30.0
"""Seconds that a slot is open until a witness that said nothing about it counts as unheard: twice the longest round."""


class DomainSeen(msgspec.Struct, frozen=True):
    """A watched domain at one moment.

    `own` is this node as its witness, None if it is not. `oldest` is the race that has gone on for longest. `unheard`
    are the witnesses that said nothing in it for too long.
    """

    domain: WitnessedDomain
    own: OwnWitness | None
    races: Races
    oldest: OpenRace | None
    unheard: tuple[str, ...]

    def forks(self) -> dict[str, int]:
        """The places where a witness contradicted itself, by witness."""
        policy = self.domain.policy
        if policy is None:
            return {}
        forked = [fork.witness for fork in self.domain.forks()]
        return {witness: forked.count(witness) for witness in policy.witnesses}


class WatchedDomains:
    """The watched domains of a node."""

    def __init__(
        self, settings: Settings, domains: WitnessedDomains, witnessing: Witnessing, clock: Callable[[], float]
    ) -> None:
        """`clock` gives seconds that never go back."""
        named = [*(settings.witness or ()), *filter(is_witnessed, sorted(settings.domains or ()))]
        self.all_domains = domains
        self._witnessing = witnessing
        self._races = {name: Races(clock) for name in list(dict.fromkeys(named))[:WATCHED_MAX]}

    async def load(self, store: Store) -> None:
        """Follow the races that the store holds. Nothing is decided yet."""
        for name, races in self._races.items():
            domain = self.all_domains.get(name)
            if domain is not None and domain.policy is not None:
                async for contenders in read_contenders(store, name, domain.policy):
                    races.begin(contenders)

    def __iter__(self) -> Iterator[DomainSeen]:
        """The watched domains as they are now. A domain of which no record is here has no policy yet."""
        own = {each.domain.name: each for each in self._witnessing}
        for name, races in self._races.items():
            domain = self.all_domains.get(name)
            oldest = races.oldest()
            yield DomainSeen(
                domain=WitnessedDomain(name) if domain is None else domain,
                own=own.get(name),
                races=races,
                oldest=oldest,
                unheard=() if domain is None or oldest is None else unheard_in(domain, oldest),
            )

    def on_commit(self, committed: Committed) -> None:
        """Follow the races of the watched domains."""
        for name, change in committed.batch.walked.items():
            races = self._races.get(name)
            if races is not None:
                races.on_change(change)


def unheard_in(domain: WitnessedDomain, race: OpenRace) -> tuple[str, ...]:
    """The witnesses because of which this race may not end: the others went on, and they said nothing.

    A witness that has voted waits for the others, so a witness that was not heard for long is no fault by itself.
    """
    policy = domain.policy
    if policy is None or race.open_s < UNHEARD_AFTER_S:
        return ()
    latest = dict.fromkeys(policy.witnesses, -1) | race.latest
    reached = sorted(latest.values(), reverse=True)[policy.faulty]  # by an honest witness at least
    return tuple(witness for witness, number in latest.items() if number < max(0, reached))
