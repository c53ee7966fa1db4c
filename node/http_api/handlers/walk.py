"""What witnesses make of a label: how sure each record of its history is, and the proof of what is final."""

from collections.abc import Iterable, Mapping

import msgspec
from aiohttp import web

from node.http_api.answers.answer_room import open_answer
from node.http_api.answers.paged_answer import LINES, answer_pages
from node.http_api.answers.pages import signed_pages
from node.http_api.handlers.domains import check_domain_known
from node.http_api.handlers.read import can_be_held, not_final, unknown_label
from node.http_api.requests.parts import ApiParts
from node.http_api.requests.query import required
from node.witness.labels import StoredLabel, read_label
from protocol.records.record import POLICY_LABEL, is_witnessed
from protocol.witness.domain import WitnessedDomain
from protocol.witness.proof import receipts_of_proof


class WalkView(msgspec.Struct, frozen=True):
    """What a history says of a witnessed label beside the records: `facts` of the label, and `marks` of each record."""

    facts: dict[str, object]
    domain: WitnessedDomain
    stored: StoredLabel | None

    def marks(self, record_id: str) -> dict[str, object]:
        """`seen`: when each witness saw the record. `ordered`: when an honest one had seen it. Both in ms.

        `decided`: whether a quorum commits it. `votes` and `commits`: the last round in which each witness voted for
        the record and committed it; of a decided record the round that decided, for the witnesses that committed then.
        """
        if self.stored is None or self.domain.policy is None or record_id not in self.stored.label:
            return {"seen": {}, "ordered": None, "decided": False, "votes": {}, "commits": {}}
        label, said = self.stored.label, self.stored.evidence(record_id)
        decided_in = said.deciding_round(self.domain.policy)
        commits = _last_rounds(said.commits)
        if decided_in is not None:
            commits |= dict.fromkeys(said.commits[decided_in], decided_in)
        return {
            "seen": dict(sorted(said.times_ms.items())),
            "ordered": label.ordered_ms(record_id),
            "decided": label.is_decided(record_id),
            "votes": _last_rounds(said.votes),
            "commits": commits,
        }

    def proof(self) -> list[str]:
        """The ids of the records that prove what is final of the label: the policy, the chain and receipts."""
        policy, policy_record = self.domain.policy, self.domain.policy_record
        assert policy is not None, "nothing is final without a policy"
        assert policy_record is not None, "the policy comes by a record"
        assert self.stored is not None, "a label without records has nothing final"
        label = self.stored.label
        chain = [record.id for record in label.chain[: label.final]]
        return [policy_record.id, *chain, *receipts_of_proof(policy, map(self.stored.evidence, chain))]


def _last_rounds(ballots: Mapping[int, Iterable[str]]) -> dict[str, int]:
    """The last round of each witness. A liar may name any number of rounds, and this has one entry a witness."""
    return dict(sorted((witness, number) for number in sorted(ballots) for witness in ballots[number]))


async def view_of(parts: ApiParts, domain: str, label: str) -> WalkView | None:
    """The view of a label of a witnessed domain; None if the node holds no record of the domain.

    Everything that it says is committed, because it is read from the store.
    """
    witnessed = parts.witnessed.get(domain)
    if witnessed is None:
        return None
    stored = await read_label(parts.store, domain, witnessed.policy, label)
    walked = None if stored is None else stored.label
    shown = witnessed.policy_record if label == POLICY_LABEL else None if walked is None else walked.head
    final = walked.chain[walked.final - 1].id if walked is not None and walked.final else None
    facts: dict[str, object] = {
        "owner": shown.signedby if shown else None,
        "head": shown.id if shown else None,
        "certainty": None if walked is None or walked.certainty is None else str(walked.certainty),
        "final": final,
    }
    return WalkView(facts, witnessed, stored)


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
    view = await view_of(parts, domain, label)
    if view is None or view.stored is None:
        raise await unknown_label(parts, domain, label)
    if not view.stored.label.final:
        raise not_final(domain)
    ids = view.proof()
    for record_id in await parts.erased.among(ids):
        raise await parts.erased.error(record_id)
    pages = signed_pages(parts.store, ids)
    return await answer_pages(request, pages, LINES, open_answer(parts, request))
