"""Which domains this node shows: those it supports that hold records, and those that its operator listed."""

from node.http_api.parts import ApiParts
from protocol.errors import Code, ProtocolError


def known_domains(parts: ApiParts) -> list[str]:
    """Sorted. A domain that holds records but is no longer supported is kept, and not shown."""
    listed = parts.settings.domains
    return parts.indexes.domains() if listed is None else sorted(set(listed))


def is_known(parts: ApiParts, domain: str) -> bool:
    listed = parts.settings.domains
    return domain in parts.indexes if listed is None else domain in listed


def check_domain_known(parts: ApiParts, domain: str) -> None:
    """Raises: ProtocolError: `unknown_domain`."""
    if not is_known(parts, domain):
        raise ProtocolError(Code.UNKNOWN_DOMAIN, "this node has no such domain: GET /domains lists those it has")
