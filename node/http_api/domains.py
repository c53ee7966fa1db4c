"""Which domains this node shows: those it supports that hold records, and those that its operator listed."""

from typing import TYPE_CHECKING

from protocol.errors import Code, ProtocolError

if TYPE_CHECKING:
    from node.node import Node


def known_domains(node: "Node") -> list[str]:
    """Sorted. A domain that holds records but is no longer supported is kept, and not shown."""
    listed = node.settings.domains
    return node.indexes.domains() if listed is None else sorted(set(listed))


def is_known(node: "Node", domain: str) -> bool:
    listed = node.settings.domains
    return domain in node.indexes if listed is None else domain in listed


def check_domain_known(node: "Node", domain: str) -> None:
    """Raises: ProtocolError: `unknown_domain`."""
    if not is_known(node, domain):
        raise ProtocolError(Code.UNKNOWN_DOMAIN, "this node has no such domain: GET /domains lists those it has")
