"""The head of a label as a node shows it, with its signature verified here; and the claim in a record."""

import json
from typing import TYPE_CHECKING, Any, Final

from node.cli.output.failures import CommandError, Exit

if TYPE_CHECKING:
    from node.client.http import Answer, NodeClient
    from protocol.records.record import SignedRecord

OWN_FIELDS: Final = ("domain", "label", "signedby", "timestamp", "newowner", "prev")
"""The fields of a record that the protocol defines. All others are the claim."""

Content = dict[str, Any]


def claim_of(canonical: bytes) -> Content:
    """The claim in the canonical bytes of a record: all fields that the protocol does not define."""
    return {name: value for name, value in json.loads(canonical).items() if name not in OWN_FIELDS}


def content_of(signed: "SignedRecord") -> Content:
    """What an owner says by a record: the claim, and the offer as `newowner` if there is one."""
    newowner = signed.record.newowner
    return claim_of(signed.record.canonical) | ({} if newowner is None else {"newowner": newowner})


def find_head(client: "NodeClient", domain: str, label: str) -> "SignedRecord | None":
    """The head of the label; None if the node has no such label.

    Raises:
        CommandError: nobody signed the head that the node shows.
    """
    answer = _ask(client, domain, label)
    return None if answer.status == 404 else _verify(client, answer, domain, label)


def get_head(client: "NodeClient", domain: str, label: str) -> "SignedRecord":
    """The head of the label.

    Raises:
        NodeError: the node refuses, for example because it has no such label.
        CommandError: nobody signed the head that the node shows.
    """
    return _verify(client, _ask(client, domain, label), domain, label)


def _ask(client: "NodeClient", domain: str, label: str) -> "Answer":
    from node.client.http import head_of

    return client.ask("GET", *head_of(domain, label))


def _verify(client: "NodeClient", answer: "Answer", domain: str, label: str) -> "SignedRecord":
    from node.client.http import signed_records

    answer.check()
    heads = signed_records(answer.body)
    head = heads[0] if len(heads) == 1 else None
    if head is None or (head.record.domain, head.record.label) != (domain, label) or not head.is_genuine():
        detail = f"{client.url} shows a head of {label} that nobody signed"
        raise CommandError(Exit.REFUSED, "bad_signature", detail, "ask another node")
    return head
