"""Which domains this node shows: those that the operator listed, or else all that hold records."""

from node.http_api.requests.parts import ApiParts
from protocol.errors import Code, ProtocolError


def known_domains(parts: ApiParts) -> list[str]:
    """All domains that are shown, sorted. A domain that the operator removed from the setting stays in the store, and
    is not shown.
    """
    listed = parts.settings.domains
    return parts.indexes.domains() if listed is None else sorted(set(listed) - parts.indexes.dropped)


def is_known(parts: ApiParts, domain: str) -> bool:
    listed = parts.settings.domains
    return domain in parts.indexes if listed is None else domain in listed and domain not in parts.indexes.dropped


def check_domain_known(parts: ApiParts, domain: str) -> None:
    """Raises: ProtocolError: `unknown_domain`."""
    if not is_known(parts, domain):
        raise ProtocolError(
            Code.UNKNOWN_DOMAIN, "this node has no record of this domain: GET /domains lists the domains that it has"
        )
