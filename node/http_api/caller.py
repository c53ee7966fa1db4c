"""Who is calling, and what that allows.

Trust comes from a proof only: the admin token, or a push signed by the key of a peer that the operator listed. An
address proves little, but loopback is enough for what a person at this machine may ask anyway, provided that the
request comes from here itself: not through a proxy, which makes everybody look local, and not from a page of another
site in a browser that runs here.
"""

import hmac
import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from aiohttp import web

from node.http_api.parts import ApiParts
from node.intake.arrivals import Origin
from protocol.errors import Code, ProtocolError
from protocol.records.admission import Trust
from protocol.records.push import PUSH_HEADER, check_push

_PROXY_HEADERS: Final = ("Forwarded", "X-Forwarded-For", "Via")
_OWN_SITES: Final = (None, "same-origin", "none")
_ADDRESS: Final = re.compile(r"(localhost|[0-9.]+|\[[0-9a-f:.]+\])(:[0-9]+)?\Z", re.IGNORECASE)
_IPV6_NETWORK_BITS: Final = 64
"""What one customer has at least: who may change the other 64 bits at will must not get a quota for each."""


def check_admin(parts: ApiParts, request: web.BaseRequest) -> None:
    """Raises: ProtocolError: `unauthorized` without the admin token."""
    if not has_token(parts, request):
        raise ProtocolError(Code.UNAUTHORIZED, "this needs `Authorization: Bearer TOKEN` with the node's admin token")


def check_operator(parts: ApiParts, request: web.BaseRequest) -> None:
    """Raises: ProtocolError: `unauthorized` for a caller elsewhere without the admin token."""
    is_here = is_direct_loopback(request) and _is_own_site(request)
    if not has_token(parts, request) and not is_here:
        detail = "from elsewhere this needs `Authorization: Bearer TOKEN` with the node's admin token"
        raise ProtocolError(Code.UNAUTHORIZED, detail)


def has_token(parts: ApiParts, request: web.BaseRequest) -> bool:
    """Whether the request carries the admin token. Compared in constant time, so that no clock can spell it out.

    Raises:
        ProtocolError: `unauthorized` where it carries another: whoever sends one means to be let in.
    """
    header = request.headers.get("Authorization")
    if header is None:
        return False
    scheme, _, token = header.partition(" ")
    given = token.strip().encode(errors="surrogateescape")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given, parts.admin_token.encode()):
        raise ProtocolError(Code.UNAUTHORIZED, "this is not the admin token of this node")
    return True


def is_direct_loopback(request: web.BaseRequest) -> bool:
    address = _remote(request)
    return address is not None and address.is_loopback and not any(name in request.headers for name in _PROXY_HEADERS)


async def origin_of(parts: ApiParts, request: web.BaseRequest, body: bytes, if_match: str | None = None) -> Origin:
    """In which class the records of this body are admitted, and under which address they count.

    Raises:
        ProtocolError: `unauthorized`, `bad_signature` or `malformed` for a proof that fails. None at all is no error.
    """
    if has_token(parts, request):
        return Origin(Trust.PEER, None, if_match)
    header = request.headers.get(PUSH_HEADER)
    trust = Trust.CLIENT if header is None else await _trust_of_push(parts, header, body)
    return Origin(trust, quota_address(request), if_match)


async def _trust_of_push(parts: ApiParts, header: str, body: bytes) -> Trust:
    key = check_push(header, parts.key.public, body, parts.world.now_s())
    peers = await parts.peers.list()
    is_accepted = any(peer.key == key and peer.is_accepted for peer in peers)
    return Trust.PEER if is_accepted else Trust.CLIENT


def quota_address(request: web.BaseRequest) -> str | None:
    """What the caller's quotas count under; None on loopback, which is exempt. Behind a proxy that is the proxy's
    address: the ones that it names in a header could be anything.
    """
    address = _remote(request)
    return None if address is None or is_direct_loopback(request) else network_of(address)


def network_of(address: IPv4Address | IPv6Address) -> str:
    """What belongs to one customer: the address, or the first half of an IPv6 address."""
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _IPV6_NETWORK_BITS), strict=False))
    return str(address)


def _remote(request: web.BaseRequest) -> IPv4Address | IPv6Address | None:
    """The other end of the socket; None where it has gone already, or is no internet socket."""
    try:
        address = ip_address((request.remote or "").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_own_site(request: web.BaseRequest) -> bool:
    """False for what a browser sends for a page of another site, and for a page whose own name was made to lead here
    (DNS rebinding): then the name it asks for is neither an address nor `localhost`.
    """
    is_other_page = request.headers.get("Sec-Fetch-Site") not in _OWN_SITES
    return not is_other_page and _ADDRESS.match(request.headers.get("Host", "")) is not None
