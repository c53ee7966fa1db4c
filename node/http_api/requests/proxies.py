"""Which address a request comes from if a proxy stands in between.

A trusted proxy appends the address of its client to `Forwarded` (RFC 7239) or to `X-Forwarded-For`. What stands left of
that address was in the request already, so anybody can have written it. Therefore the caller is the rightmost address
that is not in a trusted network. A proxy that is not trusted changes nothing: its own address is the caller.
"""

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from typing import Final

from multidict import CIMultiDictProxy

from node.fairness.addresses import Address, parse_address

FORWARDED: Final = "Forwarded"
FORWARDED_FOR: Final = "X-Forwarded-For"
FORWARDED_HOST: Final = "X-Forwarded-Host"

PROXY_HEADERS: Final = (
    FORWARDED,
    FORWARDED_FOR,
    "Via",
    "X-Real-IP",
    FORWARDED_HOST,
    "X-Forwarded-Proto",
    "X-Forwarded-Server",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
    "Fly-Client-IP",
)
"""Headers that proxies add. A request that has one did not come straight from its caller."""

_FOR: Final = re.compile(r'(?:\A|;)[ \t]*for=(?:"([^"]*)"|([^";,\s]*))', re.IGNORECASE)
_NODE: Final = re.compile(r"\[([0-9a-f:.]+)\](?::[0-9]+)?|([0-9.]+)(?::[0-9]+)?|([0-9a-f:.]+)", re.IGNORECASE)
"""An address, an IPv6 address in brackets if a port follows."""


class Proxies:
    """The proxies whose headers are believed."""

    def __init__(self, networks: Iterable[str]) -> None:
        """`networks` are those of the setting `trusted_proxies`."""
        self._networks = [ip_network(network) for network in networks]

    def is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def caller_of(self, remote: Address, headers: "CIMultiDictProxy[str]") -> Address:
        """The caller of a request that came from `remote`, the other end of the socket.

        If both headers name callers and these differ, a proxy wrote only one of the two headers and nobody knows which
        one. Then the caller is the proxy.
        """
        if not self.is_trusted(remote):
            return remote
        callers = {
            self._rightmost(remote, read(",".join(headers.getall(name)).split(",")))
            for name, read in _READERS.items()
            if name in headers
        }
        return callers.pop() if len(callers) == 1 else remote

    def _rightmost(self, remote: Address, addresses: Iterable[Address | None]) -> Address:
        """The first of these addresses, from the right, that is not trusted. An unreadable one ends the search."""
        caller = remote
        for address in addresses:
            if address is None:
                return caller
            caller = address
            if not self.is_trusted(address):
                return caller
        return caller


def _read_forwarded(items: list[str]) -> Iterable[Address | None]:
    """The `for` of each item, from the right. None for an item that names no address."""
    for item in reversed(items):
        match = _FOR.search(item)
        yield None if match is None else _read_address(match[1] or match[2] or "")


def _read_forwarded_for(items: list[str]) -> Iterable[Address | None]:
    return (_read_address(item.strip()) for item in reversed(items))


_READERS: Final = {FORWARDED: _read_forwarded, FORWARDED_FOR: _read_forwarded_for}


def _read_address(text: str) -> Address | None:
    match = _NODE.fullmatch(text)
    return None if match is None else parse_address(match[1] or match[2] or match[3])


def first_proxy_header(headers: Mapping[str, str]) -> str | None:
    """A header that shows that a proxy passed the request on. None if the header is missing."""
    return next((name for name in PROXY_HEADERS if name in headers), None)
