"""Page origins: which requests come from a page of this node, of a site that the operator trusts, or of any other site.

A browser sends a request for any page that asks, so a page can use whatever the browser's machine may do. Reading
public answers is open to all pages. A change, or a link, is only for pages of this node and of the origins in the
setting `write_origins`. A browser names the page's origin in `Origin` (RFC 6454, section 7) in every request that
changes something, and in every opening handshake of a WebSocket. A program that is no browser sends no `Origin`.
"""

import re
from collections.abc import Iterator
from typing import Final

from aiohttp import web

from node.fairness.addresses import parse_address
from node.http_api.requests.parts import ApiParts
from node.http_api.requests.proxies import FORWARDED, FORWARDED_HOST, Proxies
from node.http_api.requests.refused import RefusedError
from protocol.errors import Code

_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_HOST: Final = re.compile(r'(?:\A|[;,])[ \t]*host=(?:"([^"]*)"|([^";,\s]*))', re.IGNORECASE)
"""The `host` of each item in `Forwarded` (RFC 7239, section 5.3)."""

_SHOWN_MAX: Final = 100
"""Characters of a foreign origin that an answer repeats."""


def check_origin(parts: ApiParts, request: web.BaseRequest) -> None:
    """Refuse a request that a page of a foreign origin makes.

    Raises:
        RefusedError: `unauthorized`, with status 403 because no proof of the page could change this.
    """
    origin = request.headers.get("Origin")
    if origin is None or is_own_page(parts.proxies, request) or origin in (parts.settings.write_origins or ()):
        return
    detail = (
        f"this request changes something, and comes from a page of {origin[:_SHOWN_MAX]}: only pages of this node may "
        "send it, and pages of the origins in the setting write_origins; a proxy has to pass on the Host, or be in "
        "trusted_proxies and name it in X-Forwarded-Host"
    )
    raise RefusedError(403, detail, code=Code.UNAUTHORIZED)


def is_own_page(proxies: Proxies, request: web.BaseRequest) -> bool:
    """Whether a page of this node made the request, or no page at all.

    A browser tells by `Sec-Fetch-Site` only over HTTPS and on loopback, and not at http://0.0.0.0 for example.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is None or _is_own(origin, proxies, request)


def _is_own(origin: str, proxies: Proxies, request: web.BaseRequest) -> bool:
    """Whether the origin is one that this node was asked under. Its scheme may differ, because of proxies with TLS."""
    scheme, _, host = origin.lower().partition("://")
    port = _DEFAULT_PORTS.get(scheme, "")
    return bool(host) and any(own.lower().removesuffix(port) == host for own in _own_hosts(proxies, request))


def _own_hosts(proxies: Proxies, request: web.BaseRequest) -> Iterator[str]:
    """The hosts that the request names: in `Host`, and in the headers of proxies if a trusted proxy passed it on."""
    yield request.headers.get("Host", "")
    remote = parse_address(request.remote or "")
    if remote is not None and proxies.is_trusted(remote):
        for line in request.headers.getall(FORWARDED_HOST, ()):
            yield from (item.strip() for item in line.split(","))
        for line in request.headers.getall(FORWARDED, ()):
            yield from (quoted or bare for quoted, bare in _HOST.findall(line))
