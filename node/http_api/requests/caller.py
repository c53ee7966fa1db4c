"""Who calls, and what that caller may do.

Only a proof gives trust: the admin token, or a push that is signed with the key of a peer that the operator listed. An
address proves little. Loopback is enough for what a person at this machine may ask anyway, but only if the request
really starts on this machine: a proxy makes every caller look local, and so does a page of another site in a browser
that runs here (`page_origin`). A site can also point its own name to this machine (DNS rebinding); then the `Host`
header shows the name. A proxy may also leave no trace at all, so the setting `loopback_trusted` can end this trust.
"""

import hmac
import re
from typing import Final

import msgspec
import structlog
from aiohttp import HttpVersion11, web

from node.fairness.addresses import Address, is_loopback_address, network_of, parse_address
from node.fleet.passport import HEADER, Passport, unseal
from node.http_api.requests.page_origin import is_own_page
from node.http_api.requests.parts import ApiParts
from node.http_api.requests.proxies import first_proxy_header
from node.intake.arrivals import Origin
from protocol.errors import Code, ProtocolError
from protocol.records.admission import Precondition, Trust
from protocol.records.push import PUSH_HEADER, check_push

FORGED_EVERY_S: Final = 60.0
"""Seconds between two lines of the log about wrong passports. Anybody can send such requests."""

log = structlog.get_logger()

_ADDRESS: Final = re.compile(r"(localhost|[0-9.]+|\[[0-9a-f:.]+\])(:[0-9]+)?\Z", re.IGNORECASE)


def check_admin(parts: ApiParts, request: web.BaseRequest) -> None:
    """Raises: ProtocolError: `unauthorized` without the admin token."""
    if not has_token(parts, request):
        raise ProtocolError(
            Code.UNAUTHORIZED, "this request needs `Authorization: Bearer TOKEN` with the node's admin token"
        )


def check_operator(parts: ApiParts, request: web.BaseRequest) -> None:
    """Raises: ProtocolError: `unauthorized` for a caller that is neither on loopback nor has the admin token."""
    if not is_operator(parts, request):
        detail = "from another machine, this request needs `Authorization: Bearer TOKEN` with the node's admin token"
        raise ProtocolError(Code.UNAUTHORIZED, detail)


def is_operator(parts: ApiParts, request: web.BaseRequest) -> bool:
    """Whether the caller is on loopback or has the admin token.

    Raises:
        ProtocolError: `unauthorized` for a wrong token.
    """
    return has_token(parts, request) or is_local(parts, request)


def has_token(parts: ApiParts, request: web.BaseRequest) -> bool:
    """Whether the request carries the admin token.

    The comparison takes constant time, so that its duration tells nothing about the token.

    Raises:
        ProtocolError: `unauthorized` for a wrong token, because its sender expects to be let in.
    """
    if "Authorization" not in request.headers:
        return False
    if not _is_token_right(parts, request):
        raise ProtocolError(Code.UNAUTHORIZED, "this is not the admin token of this node")
    return True


def _is_token_right(parts: ApiParts, request: web.BaseRequest) -> bool:
    scheme, _, token = request.headers["Authorization"].partition(" ")
    given = token.strip().encode(errors="surrogateescape")
    return scheme.lower() == "bearer" and hmac.compare_digest(given, parts.admin_token.encode())


def passport_of(parts: ApiParts, request: web.BaseRequest) -> Passport | None:
    """Whose request this is, if another process of the fleet has passed it on. None for any other request.

    A passport that is not right counts for nothing, and shows that the request does not come straight from its caller.
    """
    if parts.standing is None or HEADER not in request.headers:
        return None
    value = request.headers[HEADER]
    now_s = parts.world.now_s()
    passport = unseal(parts.standing.secret, request.method, request.raw_path, value, now_s)
    if passport is None and now_s - parts.standing.forged_s > FORGED_EVERY_S:
        parts.standing.forged_s = now_s
        log.warning("a request has a wrong passport", remedy="see whether the clocks of the fleet differ")
    return passport


def is_local(parts: ApiParts, request: web.BaseRequest) -> bool:
    """Whether the request starts on this machine, as far as the node can tell, and loopback is trusted."""
    passport = passport_of(parts, request)
    if passport is not None:
        return passport.address is None
    return _is_local_without_proxy(parts, request, _remote(request)) and _proxy_sign(request) is None


def _is_local_without_proxy(parts: ApiParts, request: web.BaseRequest, remote: Address | None) -> bool:
    """The same for a request that no proxy has passed on. `remote` is where it came from."""
    is_loopback = remote is not None and is_loopback_address(remote)
    if parts.standing is not None and HEADER in request.headers:  # a passport that is not right
        return False
    return is_loopback and parts.settings.loopback_trusted and is_own_page(parts.proxies, request)


class Writer(msgspec.Struct, frozen=True):
    """Who sends a body, as far as it is known before the body is read.

    `address` is the address that quotas count under, None if none does.
    """

    is_admin: bool
    address: str | None


def writer_of(parts: ApiParts, request: web.BaseRequest) -> Writer:
    """Raises: ProtocolError: `unauthorized` for a wrong token."""
    is_admin = has_token(parts, request)
    return Writer(is_admin, None if is_admin else quota_address(parts, request))


async def origin_of(
    parts: ApiParts,
    request: web.BaseRequest,
    writer: Writer,
    body: bytes,
    precondition: Precondition | None = None,
) -> Origin:
    """The class in which the records of this body are admitted, and the address under which they count.

    Raises:
        ProtocolError: `bad_signature` or `malformed` for a wrong proof. No proof is no error.
    """
    if writer.is_admin:
        return Origin(Trust.PEER, None, precondition)
    header = request.headers.get(PUSH_HEADER)
    trust = Trust.CLIENT if header is None else await _find_trust(parts, header, body)
    return Origin(trust, writer.address, precondition)


async def _find_trust(parts: ApiParts, push_header: str, body: bytes) -> Trust:
    """The trust that the signer of this push has."""
    key = check_push(push_header, parts.key.public, body, parts.world.now_s())
    peers = await parts.peers.list()
    is_accepted = any(peer.key == key and peer.is_accepted for peer in peers)
    return Trust.PEER if is_accepted else Trust.CLIENT


def look_at(parts: ApiParts, request: web.BaseRequest) -> str | None:
    """Notice a proxy that nobody listed, and return `quota_address`. In one function, because every request pays it."""
    passport = passport_of(parts, request)
    if passport is not None:
        return passport.address
    sign, remote = _proxy_sign(request), _remote(request)
    if sign is None and _is_local_without_proxy(parts, request, remote):
        return None
    if sign is not None:
        _note_proxy(parts, request, remote, sign)
    return None if remote is None else network_of(parts.proxies.caller_of(remote, request.headers))


def payer_of(parts: ApiParts, request: web.BaseRequest, address: str | None) -> str | None:
    """Who pays for the work of this request: its `quota_address`, which is this one; None for the operator."""
    if address is None or "Authorization" not in request.headers:
        return address
    return None if _is_token_right(parts, request) else address


def plain_origin(parts: ApiParts, remote: str, host: str) -> Origin | None:
    """The origin of requests with this `Host` that came straight from `remote` over HTTP/1.1, without a proof and
    without a header of `PROXY_HEADERS` or of pages. None: only `look_at` can tell, because there may be a proxy.
    """
    address = parse_address(remote)
    is_loopback = address is not None and is_loopback_address(address)
    if is_loopback and _ADDRESS.match(host) is None:
        return None
    is_exempt = address is None or (is_loopback and parts.settings.loopback_trusted)
    return Origin(Trust.CLIENT, None if is_exempt or address is None else network_of(address))


def quota_address(parts: ApiParts, request: web.BaseRequest) -> str | None:
    """The address under which the caller's quotas count. None for a caller on this machine, which has no quotas.

    Behind a proxy that is not trusted, it is the proxy's address, because anybody can write an address into a header.
    """
    passport = passport_of(parts, request)
    if passport is not None:
        return passport.address
    remote = _remote(request)
    if remote is None or is_local(parts, request):
        return None
    return network_of(parts.proxies.caller_of(remote, request.headers))


def _note_proxy(parts: ApiParts, request: web.BaseRequest, remote: Address | None, sign: str) -> None:
    """Tell the operator, once, of a proxy that `trusted_proxies` does not name.

    Only a proxy in a private network is likely to be the operator's own: a stranger can forge the same headers.
    """
    if remote is None or parts.proxies.is_trusted(remote):
        return
    if remote.is_loopback or (remote.is_private and first_proxy_header(request.headers) is not None):
        if parts.traffic.proxied_s is None:
            log.warning("requests come through a proxy that is not trusted", proxy=str(remote), sign=sign)
        parts.traffic.proxied_s = parts.world.now_s()


def _remote(request: web.BaseRequest) -> Address | None:
    """The other end of the socket. None if it has gone already, or is no internet socket."""
    return parse_address(request.remote or "")


def _proxy_sign(request: web.BaseRequest) -> str | None:
    """What shows that a request on loopback came through a proxy. None if nothing shows it.

    A proxy may pass on the `Host` of a public site, or speak HTTP/1.0, which nginx does unless it is told otherwise.
    """
    header = first_proxy_header(request.headers)
    if header is not None:
        return f"the header {header}"
    if _ADDRESS.match(request.headers.get("Host", "")) is None:
        return "a Host that is not this machine"
    return None if request.version >= HttpVersion11 else "HTTP/1.0"
