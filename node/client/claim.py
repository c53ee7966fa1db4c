"""A claim: a record as applications see it, the fields of the protocol apart from what its signer says."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from node.client.content import OWN_FIELDS, Content, claim_of
from node.client.leaks import Secrets, find_leak
from protocol.records.record import SignedRecord
from protocol.signing import SigningKey

FINAL: Final = "final"
"""The certainty of a record that witnesses decided."""


class SecretInClaim(ValueError):  # noqa: N818 - the word for what was found
    """The content holds a secret. Records are public, and nobody can call them back."""


class Claim(msgspec.Struct, frozen=True):
    """A signed record of a label.

    `certainty` is how sure the record is as the head of its label: `claimed` in an ordinary domain, `ordered` or
    `final` in a witnessed domain; None if the node did not say it. `verdict` is that of replay, None if not asked for.
    `is_erased`: the operator of the node erased the claim. What stayed is not proved by the signature, and its content
    is empty.
    """

    signed: SignedRecord
    certainty: str | None = None
    verdict: str | None = None
    is_erased: bool = False

    @property
    def domain(self) -> str:
        return self.signed.record.domain

    @property
    def label(self) -> str:
        return self.signed.record.label

    @property
    def id(self) -> str:
        """The record id, 64 hex digits."""
        return self.signed.record.id

    @property
    def signedby(self) -> str:
        """The public key of the signer. The signer of a head owns the label."""
        return self.signed.record.signedby

    @property
    def timestamp(self) -> int:
        """Seconds since the Unix epoch, as the signer says."""
        return self.signed.record.timestamp

    @property
    def newowner(self) -> str | None:
        """The public key that the label is offered to."""
        return self.signed.record.newowner

    @property
    def prev(self) -> str | None:
        """The id of the record that this record follows."""
        return self.signed.record.prev

    @property
    def signature(self) -> str:
        return self.signed.signature

    @property
    def content(self) -> Content:
        """What the signer says, decoded anew each time."""
        return claim_of(self.signed.record.canonical)


def check_content(content: Mapping[str, Any], key: SigningKey) -> None:
    """Check that this can be the content of a record: the claim, and the offer as `newowner` if there is one.

    Raises:
        ValueError: it names a field of the protocol. SecretInClaim: it holds the secret half of the key.
    """
    taken = sorted((set(OWN_FIELDS) - {"newowner"}) & content.keys())
    if taken:
        raise ValueError(f"the protocol defines {', '.join(taken)}, so the content of a claim cannot")
    leak = find_leak(dict(content), Secrets(key.seed, (), frozenset({key.public})))
    if leak is not None:
        raise SecretInClaim(f"nothing was sent, because the claim holds a secret: {leak.what}, in {leak.where}")
