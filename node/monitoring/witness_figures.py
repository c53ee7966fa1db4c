"""The figures of the watched domains, for the metrics page. `exposition` holds the table with their meaning."""

from collections.abc import Iterator
from math import inf

from node.metrics import Histogram
from node.witness.own import OwnWitness, Silence
from node.witness.watched import DomainSeen, WatchedDomains

Figure = tuple[str, tuple[str, ...], float | Histogram]
"""A family's name, the values of its labels, and the figure."""


def figures_of(watched: WatchedDomains, now_s: float) -> Iterator[Figure]:
    """`now_s` is in seconds since the Unix epoch."""
    yield "dnarc_witnessed_domains", (), sum(1 for _ in watched.all_domains)
    for seen in watched:
        yield from _of_domain(seen)
        yield from _of_witnesses(seen, now_s)
        if seen.own is not None:
            yield from _of_own(seen.own)


def _of_domain(seen: DomainSeen) -> Iterator[Figure]:
    domain = (seen.domain.name,)
    yield "dnarc_undecided_records", domain, seen.domain.undecided
    yield "dnarc_slot_open_seconds", domain, 0.0 if seen.oldest is None else seen.oldest.open_s
    yield "dnarc_doubly_decided_slots", domain, seen.domain.doubly_decided
    yield "dnarc_ordered_seconds", domain, seen.races.ordered_s
    yield "dnarc_final_seconds", domain, seen.races.final_s


def _of_witnesses(seen: DomainSeen, now_s: float) -> Iterator[Figure]:
    for witness, forks in seen.forks().items():
        labels, at_ms = (seen.domain.name, witness), seen.domain.heard_ms(witness)
        yield "dnarc_witness_lag_seconds", labels, inf if at_ms is None else max(0.0, now_s - at_ms / 1000)
        yield "dnarc_witness_forks", labels, forks
        yield "dnarc_witness_unheard", labels, witness in seen.unheard


def _of_own(own: OwnWitness) -> Iterator[Figure]:
    domain = own.domain.name
    for silence in Silence:
        yield "dnarc_witness_silent", (domain, silence.reason), silence is own.silence
    yield "dnarc_witness_open_slots", (domain,), own.open_count
    yield "dnarc_witness_round", (domain,), max((slot.round for slot in own.open_slots()), default=0)
