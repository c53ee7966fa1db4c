"""What an operator asks of a node: its peers, a sync now, its health, its figures."""

import asyncio
from typing import Final

import msgspec
from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from node.http_api.answers.json_answer import private
from node.http_api.handlers.write import BODY_BUDGET
from node.http_api.requests.caller import check_admin, check_operator, is_operator
from node.http_api.requests.parts import ApiParts
from node.passwords import hidden
from node.store.contract import Peer
from protocol.errors import Code, ProtocolError
from protocol.link.terms import Flow
from protocol.records.record import is_domain

PEER_BYTES_MAX: Final = 16_384

_HIDDEN_PASSWORD: Final = ":***@"
"""How answers show the password in a URL. An operator may copy such a URL into a request by mistake."""


class PeerBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A peer as a request spells it; see `node.store.contract.Peer`."""

    url: str | None = None
    push: bool = False
    pull: bool = False
    accept: bool | None = None
    key: str | None = None


async def get_peers(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    check_operator(parts, request)
    lags_s = parts.convergence.lags_s(asyncio.get_running_loop().time())
    peers = await parts.peers.list()
    return private([_row(peer) | _state(parts, peer) | {"lag_s": lags_s.get(peer.name)} for peer in peers])


def _state(parts: ApiParts, peer: Peer) -> dict[str, object]:
    """What the node knows of the peer: its state, whether it holds the same, what was refused, its clock, its link.

    `since` is when the trouble began, in seconds since the Unix epoch.
    """
    link, state = parts.links.summary(peer), parts.peer_states.of(peer)
    source = parts.sync if link is None else parts.links
    return {
        "state": state.state,
        "error": state.error,
        "since": None if state.since_s is None else int(state.since_s),
        "remedy": state.remedy,
        "domains": source.steps(peer),
        "refusals": source.refusals(peer),
        "clock_ahead_s": source.clock_ahead_s(peer),
        "link": link,
    }


async def put_peer(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    check_admin(parts, request)
    async with request.app[BODY_BUDGET].read(request, PEER_BYTES_MAX, None) as body:
        peer = await parts.peers.put(_read_peer(body))
    return private(_row(peer))


async def delete_peer(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    check_admin(parts, request)
    name = request.query.get("url") or request.query.get("key")
    if not name:
        raise ProtocolError(Code.MALFORMED, "name the peer: `?url=`, or `?key=` for one without URL")
    peer = await parts.peers.find(name)
    if peer is None or not await parts.peers.remove(peer.name):
        raise ProtocolError(Code.UNKNOWN_PEER, "there is no such peer: GET /peers lists them")
    return private(_row(peer))


def _read_peer(body: bytes) -> Peer:
    """The peer in a request's body. `Peers.put` checks the values.

    Raises:
        ProtocolError: `malformed`.
    """
    try:
        given = msgspec.json.decode(body, type=PeerBody)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(Code.MALFORMED, f"a peer is {{url, push, pull, accept, key}}: {error}") from error
    if given.url is not None and _HIDDEN_PASSWORD in given.url:
        raise ProtocolError(Code.MALFORMED, "`url` holds *** where its password should be: give the password itself")
    return Peer(url=given.url, push=given.push, pull=given.pull, accept=given.accept, key=given.key)


def _row(peer: Peer) -> dict[str, object]:
    """A row of the peers table as answers show it."""
    return {
        "url": None if peer.url is None else hidden(peer.url),
        "push": peer.push,
        "pull": peer.pull,
        "accept": peer.is_accepted,
        "key": peer.key,
    }


async def post_push(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    return await _sync(parts, request, Flow.PUSH)


async def post_pull(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    return await _sync(parts, request, Flow.PULL)


async def _sync(parts: ApiParts, request: web.Request, direction: Flow) -> web.StreamResponse:
    check_operator(parts, request)
    peer, domain = request.query.get("peer"), request.query.get("domain")
    if domain is not None and not is_domain(domain):
        raise ProtocolError(Code.MALFORMED, "`domain` is the name of a domain", parameter="domain")
    report = await parts.sync.run(direction, peer, domain)
    return private({hidden(name): result for name, result in report.items()})


async def get_health(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    problems = parts.health.problems()
    is_asked_by_operator = is_operator(parts, request)
    warnings = parts.health.warnings() if is_asked_by_operator else parts.health.public_warnings()
    fleet = {} if parts.standing is None else {"fleet": parts.standing.shown(is_operator=is_asked_by_operator)}
    if not problems:
        return private({"status": "ok", "problems": [], "warnings": warnings} | fleet)
    answer = private({"status": "failing", "problems": problems, "warnings": warnings} | fleet, 503)
    answer.headers["Retry-After"] = "10"
    return answer


async def get_metrics(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    if not parts.settings.metrics_public:
        check_operator(parts, request)
    body = generate_latest(parts.registry)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
