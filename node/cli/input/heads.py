"""The head of a label as a node shows it, with its signature verified here; and what its owner says."""

from typing import TYPE_CHECKING

from node.client.content import Content, claim_of

if TYPE_CHECKING:
    from node.client.http import NodeClient
    from protocol.records.record import SignedRecord


def content_of(signed: "SignedRecord") -> Content:
    """What an owner says by a record: the claim, and the offer as `newowner` if there is one."""
    newowner = signed.record.newowner
    return claim_of(signed.record.canonical) | ({} if newowner is None else {"newowner": newowner})


def find_head(client: "NodeClient", domain: str, label: str) -> "SignedRecord | None":
    """The head of the label; None if the node does not know the label.

    Raises:
        ClientError: also `Untrusted` if nobody signed the head that the node shows.
    """
    from node.client.reading import Reader

    head = client.converse(Reader().read_head(domain, label))
    return None if head is None else head.signed


def get_head(client: "NodeClient", domain: str, label: str) -> "SignedRecord":
    """The head of the label.

    Raises:
        NodeError: the node refuses, for example because it does not know the label.
        Untrusted: nobody signed the head that the node shows.
    """
    from node.client.conversation import Request, ask
    from node.client.reading import head_in
    from node.client.targets import head_of

    return head_in(client.converse(ask(Request("GET", *head_of(domain, label)))), domain, label).signed
