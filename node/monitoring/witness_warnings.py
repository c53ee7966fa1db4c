"""What an operator has to look at in the watched domains, with a remedy: a witness that is silent, or that lied."""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from node.clocks import moment
from node.witness.watched import DomainSeen, WatchedDomains
from protocol.link.features import WITNESS

SLOT_OPEN_WARNED_S: Final = 120.0
"""Seconds that a slot may be open: seven rounds of the longest length. Honest witnesses need one or two rounds."""


def warnings_of(watched: WatchedDomains, now_s: float) -> Iterator[str]:
    """Sentences for `Health.warnings`. `now_s` is in seconds since the Unix epoch."""
    for seen in watched:
        yield from _of_own(seen)
        yield from _of_lies(seen)
        yield from _of_open_slots(seen, now_s)


def warnings_of_peers(features: Mapping[str, Collection[str] | None], domains: int) -> Iterator[str]:
    """Sentences about listed peers with which this node does not sync its witnessed domains.

    `features`: those that each peer named, by the peer's name; None if the peer has not answered yet. `domains`: how
    many witnessed domains this node holds.
    """
    if not domains:
        return
    for name, named in features.items():
        if named is not None and WITNESS not in named:
            yield (
                f"the peer {name} does not name the feature `{WITNESS}`, so its version is older: {domains} witnessed "
                "domains are not synced with it; upgrade it"
            )


def _of_own(seen: DomainSeen) -> Iterator[str]:
    silence = None if seen.own is None else seen.own.silence
    if silence is not None:
        yield f"this node is silent as a witness of {seen.domain.name}: {silence}; {silence.remedy}"


def _of_lies(seen: DomainSeen) -> Iterator[str]:
    name, policy = seen.domain.name, seen.domain.policy
    if policy is None:
        return
    doubly_decided = seen.domain.doubly_decided
    if doubly_decided:
        yield (
            f"two records are decided in {doubly_decided} places of {name}, so more than {policy.faulty} of its "
            "witnesses lied: believe no head there, and choose other witnesses, which is another domain"
        )
    forked = [witness for witness, forks in seen.forks().items() if forks]
    for witness in forked:
        yield (
            f"the witness {witness} of {name} contradicts itself: two receipts in one place, or two ballots in one "
            f"round; it lies, it was restored from a copy, or two nodes run with its key; {len(forked)} witnesses did "
            f"so, and {policy.faulty} may"
        )


def _of_open_slots(seen: DomainSeen, now_s: float) -> Iterator[str]:
    if seen.oldest is None or seen.domain.policy is None:
        return
    name, since = seen.domain.name, moment(now_s - seen.oldest.open_s)
    for witness in seen.unheard:
        yield (
            f"the witness {witness} of {name} says nothing about a record that waits since {since}: "
            "start it, or mend the links to it"
        )
    if seen.oldest.open_s > SLOT_OPEN_WARNED_S:
        label, _ = seen.oldest.key
        yield (
            f"the label {label!r} of {name} waits for a decision since {since}: "
            f"{seen.domain.policy.quorum} of {len(seen.domain.policy.witnesses)} witnesses have to be up and linked"
        )
