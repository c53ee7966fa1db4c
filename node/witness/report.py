"""How the witnesses of a domain are, as an operator wants to see it: who was heard when, who lied, what is open."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

from node.witness.own import OwnWitness
from protocol.witness.domain import WitnessedDomain
from protocol.witness.voter import OpenSlot

SHOWN_MAX: Final = 100
"""Open slots, candidates of one slot, and forks of one witness that a report shows. It counts all of them."""


def report_of(domain: WitnessedDomain, own: Iterable[OwnWitness], now_s: float) -> dict[str, Any]:
    """The report of one domain, as `GET /witnesses` gives it. `own`: this node as a witness, of any domain.

    `lag_s` of a witness is how long ago its newest receipt was signed, by this node's clock, in seconds. A witness has
    nothing to say while nothing happens, so a large lag alone is no fault.
    """
    policy = domain.policy
    forks: dict[str, list[list[str]]] = defaultdict(list)
    for fork in domain.forks():
        forks[fork.witness].append(list(fork.receipts))
    return {
        "domain": domain.name,
        "faulty": None if policy is None else policy.faulty,
        "quorum": None if policy is None else policy.quorum,
        "undecided": domain.undecided,
        "doubly_decided": domain.doubly_decided,
        "witnesses": [
            _witness(key, domain.heard_ms(key), forks[key], now_s)
            for key in (() if policy is None else policy.witnesses)
        ],
        "own": next((_own(each) for each in own if each.domain.name == domain.name), None),
    }


def _witness(key: str, at_ms: int | None, forks: list[list[str]], now_s: float) -> dict[str, Any]:
    lag_s = None if at_ms is None else max(0.0, round(now_s - at_ms / 1000, 3))
    return {"key": key, "at": at_ms, "lag_s": lag_s, "forks": forks[:SHOWN_MAX], "fork_count": len(forks)}


def _own(own: OwnWitness) -> dict[str, Any]:
    silence = None if own.silence is None else str(own.silence)
    return {"silence": silence, "open": shown(own.open_slots()), "open_count": own.open_count}


def shown(slots: Iterable[OpenSlot]) -> list[dict[str, Any]]:
    """The first of these slots. They come oldest first, and the oldest wait for longest."""
    return [
        {
            "label": slot.key[0],
            "prev": slot.key[1],
            "candidates": list(islice(slot.candidates, SHOWN_MAX)),
            "round": slot.round,
        }
        for slot in islice(slots, SHOWN_MAX)
    ]
