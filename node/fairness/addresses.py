"""Addresses: how a network address is read, and which addresses count as one caller."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address

_ADDRESSES_CACHED_MAX: Final = 1_024

_IPV4_NEIGHBOURS_BITS: Final = 24
_IPV6_NEIGHBOURS_BITS: Final = 48
"""The networks in which whoever rents many addresses gets them. Smaller ones are rarely routed."""

_IPV6_NETWORK_BITS: Final = 64
"""The smallest network that a provider gives to one customer, who picks the other 64 bits at will. Quotas and shares
count by network, so that no customer gets a fresh one with every address.
"""


@lru_cache(_ADDRESSES_CACHED_MAX)
def parse_address(text: str) -> Address | None:
    """The address, as IPv4 if it is an IPv4 address in the form of IPv6. None if this is no address.

    Cached, because nearly every request comes over a connection that brought one before.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(_ADDRESSES_CACHED_MAX)
def is_loopback_address(address: Address) -> bool:
    """The same as `address.is_loopback`, which searches a network each time."""
    return address.is_loopback


def network_of(address: Address) -> str:
    """The addresses of one customer: an IPv4 address, or the first half of an IPv6 address."""
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _IPV6_NETWORK_BITS), strict=False))
    return str(address)


@lru_cache(_ADDRESSES_CACHED_MAX)
def neighbours_of(network: str) -> str:
    """The network of 24 bits (IPv6: 48 bits) that this result of `network_of` is in. What is no network is its own."""
    try:
        parsed = ip_network(network)
    except ValueError:
        return network
    bits = _IPV4_NEIGHBOURS_BITS if parsed.version == 4 else _IPV6_NEIGHBOURS_BITS
    return str(parsed.supernet(new_prefix=bits))
