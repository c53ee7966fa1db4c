"""What the items of a setting's list may be, and what a text may be."""

import re
from collections.abc import Callable
from ipaddress import ip_network
from typing import Final

import msgspec

from protocol.records.record import is_domain, is_witnessed


class ListItems(msgspec.Struct, frozen=True):
    """What the items of a list may be."""

    is_valid: Callable[[str], bool]
    words: str


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def _is_origin(text: str) -> bool:
    """Whether a browser spells an origin so (RFC 6454, section 6.2): in lower case and without the default port."""
    return _ORIGIN.fullmatch(text) is not None and not text.endswith(_DEFAULT_PORTS.get(text.partition(":")[0], " "))


_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
ITEMS: Final = {
    "domains": ListItems(is_domain, "domains between commas"),
    "witness": ListItems(is_witnessed, "names of witnessed domains between commas, from `dnarc witness new`"),
    "trusted_proxies": ListItems(_is_network, "networks between commas, such as 10.0.0.0/8"),
    "write_plugin": ListItems(bool, "a command and its arguments between commas"),
    "write_origins": ListItems(_is_origin, "origins between commas, such as https://example.org"),
}
TEXTS: Final = {
    "advertise": "a URL such as http://10.0.0.2:8080, without a path",
    "store": "a URL such as postgresql://user@host/database",
}
"""What the text of a setting may be, in words, for settings that do not take every text. The type has the rule."""
