"""What an operator asks of a node: its peers, to sync now, whether it is well."""

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from node.http_api.answers import private
from node.http_api.caller import check_admin, check_operator
from node.http_api.write import BODIES
from node.store import Peer
from protocol.errors import Code, ProtocolError
from protocol.record import is_domain
from protocol.signing import is_key

if TYPE_CHECKING:
    from node.node import Node

PEER_BYTES_MAX: Final = 16_384
URL_CHARACTERS_MAX: Final = 2_048
SCHEMES: Final = ("http", "https", "ws", "wss")

_HIDDEN = "***"
"""What is shown instead of a password."""


class PeerBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A peer as a request spells it; see `node.store.Peer`."""

    url: str | None = None
    push: bool = False
    pull: bool = False
    accept: bool | None = None
    key: str | None = None


async def get_peers(node: "Node", _request: web.Request) -> web.StreamResponse:
    return private([_shown(peer) | {"domains": node.sync.steps(peer)} for peer in await node.peers.list()])


async def put_peer(node: "Node", request: web.Request) -> web.StreamResponse:
    check_admin(node, request)
    async with request.app[BODIES].read(request, PEER_BYTES_MAX) as body:
        peer = _read_peer(body)
    await node.peers.put(peer)
    return private(_shown(peer))


async def delete_peer(node: "Node", request: web.Request) -> web.StreamResponse:
    check_admin(node, request)
    name = request.query.get("url") or request.query.get("key")
    if not name:
        raise ProtocolError(Code.MALFORMED, "name the peer: `?url=`, or `?key=` for one without URL")
    for peer in await node.peers.list():
        if name in (peer.name, _hidden(peer.url)) and await node.peers.remove(peer.name):
            return private(_shown(peer))
    raise ProtocolError(Code.UNKNOWN_PEER, "there is no such peer: GET /peers lists them")


def _read_peer(body: bytes) -> Peer:
    """Raises: ProtocolError: `malformed`, saying what a peer is."""
    try:
        given = msgspec.json.decode(body, type=PeerBody)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(Code.MALFORMED, f"a peer is {{url, push, pull, accept, key}}: {error}") from error
    if given.key is not None and not is_key(given.key):
        raise ProtocolError(Code.MALFORMED, "`key` is an Ed25519 public key, 64 lower-case hex digits")
    if given.url is not None:
        _check_url(given.url)
    elif given.key is None:
        raise ProtocolError(Code.MALFORMED, "a peer has a `url`, or a `key` where it only dials us")
    return Peer(url=given.url, push=given.push, pull=given.pull, accept=given.accept, key=given.key)


def _check_url(url: str) -> None:
    """Raises: ProtocolError: `malformed`."""
    form = f"`url` is {', '.join(SCHEMES)} followed by ://, a host, and at most {URL_CHARACTERS_MAX} characters in all"
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ProtocolError(Code.MALFORMED, form) from None
    if not is_good or len(url) > URL_CHARACTERS_MAX or not url.isprintable() or " " in url:
        raise ProtocolError(Code.MALFORMED, form)
    if parts.password == _HIDDEN:
        raise ProtocolError(Code.MALFORMED, f"`url` needs its password: {_HIDDEN} is how it is shown")


def _shown(peer: Peer) -> dict[str, object]:
    return {
        "url": _hidden(peer.url),
        "push": peer.push,
        "pull": peer.pull,
        "accept": peer.is_accepted,
        "key": peer.key,
    }


def _hidden(url: str | None) -> str | None:
    """The URL with its password hidden. Rows may come from another program's hand, so it may be anything."""
    scheme, separator, rest = (url or "").partition("://")
    credentials, at, host = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    return f"{scheme}{separator}{user}:{_HIDDEN}@{host}" if at and colon else url


async def post_push(node: "Node", request: web.Request) -> web.StreamResponse:
    return await _sync(node, request, "push")


async def post_pull(node: "Node", request: web.Request) -> web.StreamResponse:
    return await _sync(node, request, "pull")


async def _sync(node: "Node", request: web.Request, direction: str) -> web.StreamResponse:
    check_operator(node, request)
    peer, domain = request.query.get("peer"), request.query.get("domain")
    if domain is not None and not is_domain(domain):
        raise ProtocolError(Code.MALFORMED, "`domain` is the name of a domain", parameter="domain")
    report = await node.sync.run(direction, peer, domain)
    return private({_hidden(name): result for name, result in report.items()})


async def get_health(node: "Node", _request: web.Request) -> web.StreamResponse:
    problems = node.health()
    if not problems:
        return private({"status": "ok", "problems": []})
    answer = private({"status": "failing", "problems": problems}, 503)
    answer.headers["Retry-After"] = "10"
    return answer
