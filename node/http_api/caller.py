"""Who calls, and what that caller may do.

Only a proof gives trust: the admin token, or a push that is signed with the key of a peer that the operator listed. An
address proves little. Loopback is enough for what a person at this machine may ask anyway, but only if the request
really starts on this machine: a proxy makes every caller look local, and so does a page of another site in a browser
that runs here.
"""

import hmac
import re
from functools import lru_cache
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
"""The smallest network that a provider gives to one customer, who picks the other 64 bits at will. Quotas count by
network, so that no customer gets a fresh quota with every address.
"""


def check_admin(parts: ApiParts, request: web.BaseRequest) -> None:
    """Raises: ProtocolError: `unauthorized` without the admin token."""
    if not has_token(parts, request):
        raise ProtocolError(Code.UNAUTHORIZED, "this needs `Authorization: Bearer TOKEN` with the node's admin token")


def check_operator(parts: ApiParts, request: web.BaseRequest) -> None:
    """Raises: ProtocolError: `unauthorized` for a caller that is neither on loopback nor has the admin token."""
    is_here = is_direct_loopback(request) and _is_own_site(request)
    if not has_token(parts, request) and not is_here:
        detail = "from elsewhere this needs `Authorization: Bearer TOKEN` with the node's admin token"
        raise ProtocolError(Code.UNAUTHORIZED, detail)


def has_token(parts: ApiParts, request: web.BaseRequest) -> bool:
    """Whether the request carries the admin token.

    The comparison takes constant time, so that its duration tells nothing about the token.

    Raises:
        ProtocolError: `unauthorized` for a wrong token, because its sender expects to be let in.
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
    """Whether the request comes from this machine, and not through a proxy on this machine."""
    address = _remote(request)
    return address is not None and address.is_loopback and not any(name in request.headers for name in _PROXY_HEADERS)


async def origin_of(parts: ApiParts, request: web.BaseRequest, body: bytes, if_match: str | None = None) -> Origin:
    """The class in which the records of this body are admitted, and the address under which they count.

    Raises:
        ProtocolError: `unauthorized`, `bad_signature` or `malformed` for a wrong proof. No proof is no error.
    """
    if has_token(parts, request):
        return Origin(Trust.PEER, None, if_match)
    header = request.headers.get(PUSH_HEADER)
    trust = Trust.CLIENT if header is None else await _find_trust(parts, header, body)
    return Origin(trust, quota_address(request), if_match)


async def _find_trust(parts: ApiParts, push_header: str, body: bytes) -> Trust:
    """The trust that the signer of this push has."""
    key = check_push(push_header, parts.key.public, body, parts.world.now_s())
    peers = await parts.peers.list()
    is_accepted = any(peer.key == key and peer.is_accepted for peer in peers)
    return Trust.PEER if is_accepted else Trust.CLIENT


def quota_address(request: web.BaseRequest) -> str | None:
    """The address under which the caller's quotas count. None on loopback, which has no quotas.

    Behind a proxy this is the proxy's address, because a client can write any address into a header.
    """
    address = _remote(request)
    return None if address is None or is_direct_loopback(request) else network_of(address)


def network_of(address: IPv4Address | IPv6Address) -> str:
    """The addresses of one customer: an IPv4 address, or the first half of an IPv6 address."""
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _IPV6_NETWORK_BITS), strict=False))
    return str(address)


def _remote(request: web.BaseRequest) -> IPv4Address | IPv6Address | None:
    """The other end of the socket. None if it has gone already, or is no internet socket."""
    return _parse(request.remote or "")


@lru_cache(1_024)
def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """Remembered, because nearly every request comes over a connection that brought one before."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_own_site(request: web.BaseRequest) -> bool:
    """False for a request that a page of another site makes in a browser on this machine.

    A browser names such a page in `Sec-Fetch-Site`. A site can also point its own name to this machine (DNS rebinding);
    then the `Host` header is neither an address nor `localhost`.
    """
    is_other_page = request.headers.get("Sec-Fetch-Site") not in _OWN_SITES
    return not is_other_page and _ADDRESS.match(request.headers.get("Host", "")) is not None
