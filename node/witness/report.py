"""How the witnesses of a domain are, as an operator wants to see it: who was heard when, who lied, what is open."""

from collections.abc import Iterable

from node.witness.own import OwnWitness
from protocol.witness.domain import WitnessedDomain


def report_of(domain: WitnessedDomain, own: Iterable[OwnWitness], now_s: float) -> dict[str, object]:
    """The report of one domain, as `GET /witnesses` gives it. `own`: this node as a witness, of any domain.

    `lag_s` of a witness is how long ago its newest receipt was signed, by this node's clock, in seconds. A witness has
    nothing to say while nothing happens, so a large lag alone is no fault.
    """
    policy = domain.policy
    return {
        "domain": domain.name,
        "faulty": None if policy is None else policy.faulty,
        "quorum": None if policy is None else policy.quorum,
        "undecided": domain.undecided,
        "doubly_decided": domain.doubly_decided,
        "witnesses": [_witness(domain, key, now_s) for key in (() if policy is None else policy.witnesses)],
        "own": next((_own(each) for each in own if each.domain.name == domain.name), None),
    }


def _witness(domain: WitnessedDomain, key: str, now_s: float) -> dict[str, object]:
    at_ms = domain.heard_ms(key)
    return {
        "key": key,
        "at": at_ms,
        "lag_s": None if at_ms is None else max(0.0, round(now_s - at_ms / 1000, 3)),
        "forks": [list(fork.receipts) for fork in domain.forks() if fork.witness == key],
    }


def _own(own: OwnWitness) -> dict[str, object]:
    slots = [
        {"label": slot.key[0], "prev": slot.key[1], "candidates": list(slot.candidates), "round": slot.round}
        for slot in own.open_slots()
    ]
    return {"silence": None if own.silence is None else str(own.silence), "open": slots}
