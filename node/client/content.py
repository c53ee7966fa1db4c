"""The content of a record: what its signer says, apart from the fields that the protocol defines."""

import json
from typing import Any, Final

OWN_FIELDS: Final = ("domain", "label", "signedby", "timestamp", "newowner", "prev")
"""The fields of a record that the protocol defines. All others are the claim."""

Content = dict[str, Any]
"""What the signer of a record says: all fields that the protocol does not define."""


def claim_of(canonical: bytes) -> Content:
    """The claim in the canonical bytes of a record: all fields that the protocol does not define."""
    return {name: value for name, value in json.loads(canonical).items() if name not in OWN_FIELDS}
