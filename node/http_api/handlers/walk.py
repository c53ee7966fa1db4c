"""The walk of a label: how sure each record of its history is, and the proof of its final records."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from aiohttp import web

from node.http_api.answers.answer_room import open_answer
from node.http_api.answers.paged_answer import LINES, answer_pages
from node.http_api.answers.pages import signed_pages
from node.http_api.handlers.domains import check_domain_known
from node.http_api.handlers.read import can_be_held, not_final, unknown_label
from node.http_api.requests.caller import quota_address
from node.http_api.requests.parts import ApiParts
from node.http_api.requests.query import required
from node.witness.labels import StoredLabel
from protocol.records.record import POLICY_LABEL, is_witnessed
from protocol.witness.domain import WitnessedDomain
from protocol.witness.policy import Policy
from protocol.witness.proof import receipts_of_proof
from protocol.witness.testimony import Evidence
from protocol.witness.walk import Certainty

_ID_BYTES: Final = 160
"""Bytes of an id in a list."""


class WalkView(msgspec.Struct, frozen=True):
    """What a history says of a witnessed label beside the records: `facts` of the label, and `marks` of each record.

    `policy` is None while the domain has no policy record.
    """

    facts: dict[str, object]
    policy: Policy | None

    def marks(self, said: Evidence) -> dict[str, object]:
        """`seen`: when each witness saw the record. `ordered`: when an honest one had seen it. Both in ms.

        `decided`: whether a quorum commits it. `votes` and `commits`: the last round in which each witness voted for
        the record and committed it; of a decided record the round that decided, for the witnesses that committed then.
        """
        if self.policy is None:
            return {"seen": {}, "ordered": None, "decided": False, "votes": {}, "commits": {}}
        decided_in = said.deciding_round(self.policy)
        commits = _last_rounds(said.commits)
        if decided_in is not None:
            commits |= dict.fromkeys(said.commits[decided_in], decided_in)
        return {
            "seen": dict(sorted(said.times_ms.items())),
            "ordered": said.ordered_ms(self.policy),
            "decided": decided_in is not None,
            "votes": _last_rounds(said.votes),
            "commits": commits,
        }


def _last_rounds(ballots: Mapping[int, Iterable[str]]) -> dict[str, int]:
    """The last round of each witness. A liar may name any number of rounds, and this has one entry a witness."""
    return dict(sorted((witness, number) for number in sorted(ballots) for witness in ballots[number]))


async def view_of(parts: ApiParts, domain: str, label: str) -> WalkView | None:
    """The view of a label of a witnessed domain; None if the node holds no record of the domain.

    Everything that it says is committed, because it is read from the store. The label is not walked again: it may be
    long, and the store has its state.
    """
    witnessed = parts.witnessed.get(domain)
    if witnessed is None:
        return None
    has_slots = not label.startswith("@")
    is_shown = has_slots or label == POLICY_LABEL
    state = (await parts.store.states([(domain, label)])).get((domain, label)) if is_shown else None
    tip = None if state is None else state.tip
    final = None if state is None else state.final
    certainty = None
    if tip is not None and has_slots:
        certainty = str(Certainty.FINAL if tip.id == final else Certainty.ORDERED)
    facts: dict[str, object] = {
        "owner": None if tip is None else tip.signedby,
        "head": None if tip is None else tip.id,
        "certainty": certainty,
        "final": final,
    }
    return WalkView(facts, witnessed.policy)


async def get_proof(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    return await _answer_proof(parts, request, request.match_info["domain"], request.match_info["label"])


async def find_proof(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    """The same, for labels that a path cannot carry."""
    return await _answer_proof(parts, request, required(request, "domain"), required(request, "label"))


async def _answer_proof(parts: ApiParts, request: web.Request, domain: str, label: str) -> web.StreamResponse:
    """The policy record, the chain up to the last final record, and the receipts that commit it.

    Raises:
        ProtocolError: `unknown_domain`, `unknown_label`, `not_final`; `erased` if the proof needs an erased record.
    """
    check_domain_known(parts, domain)
    if not can_be_held(parts, domain, label):
        raise await unknown_label(parts, domain, label)
    if not is_witnessed(domain):
        raise not_final(domain)
    witnessed = parts.witnessed.get(domain)
    walked = None if witnessed is None else await parts.walks.read(witnessed, label, quota_address(parts, request))
    if witnessed is None or walked is None:
        raise await unknown_label(parts, domain, label)
    if not walked.label.final:
        raise not_final(domain)
    ids = _proof(witnessed, walked)
    del walked  # a label may be long, and the client slow
    for record_id in await parts.erased.among(ids):
        raise await parts.erased.error(record_id)
    room = open_answer(parts, request)
    room.extra_bytes = _ID_BYTES * len(ids)
    return await answer_pages(request, signed_pages(parts.store, ids), LINES, room)


def _proof(domain: WitnessedDomain, walked: StoredLabel) -> list[str]:
    """The ids of the records that prove what is final of the label: the policy, the chain and receipts."""
    policy, policy_record = domain.policy, domain.policy_record
    assert policy is not None, "nothing is final without a policy"
    assert policy_record is not None, "the policy comes by a record"
    chain = [record.id for record in walked.label.chain[: walked.label.final]]
    return [policy_record.id, *chain, *receipts_of_proof(policy, map(walked.evidence, chain))]
