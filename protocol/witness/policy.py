"""The policy of a witnessed domain: who its witnesses are, and how many of them may lie.

The name of the domain commits to the policy: its last part is `w` and the SHA-256 of the policy's canonical bytes in
base32 (RFC 4648, section 6, lower case, without padding). So a node needs no setting to know the witnesses, and nobody
can give it others: a policy record with the wrong digest is not the policy.

Encodings are compared and never decoded, because several spellings of base32 decode to the same bytes.
"""

import base64
import hashlib
from itertools import pairwise
from typing import Any, Final

import msgspec

from protocol.errors import Code, ProtocolError
from protocol.records.canonical import encode
from protocol.records.record import POLICY_LABEL, Record, policy_name_of
from protocol.signing import is_key

WITNESSES_MAX: Final = 16

_POLICY_KEYS: Final = frozenset({"faulty", "witnesses"})
_RECORD_KEYS: Final = frozenset({"domain", "label", "signedby", "timestamp"}) | _POLICY_KEYS


class Policy(msgspec.Struct, frozen=True):
    """The witnesses of one domain. Build it with `check_policy`, `policy_of` or `make_policy`, which prove the rules.

    `witnesses` are public keys, 64 lower-case hex digits each, sorted; their places in this order number them from 0.
    `faulty`: how many witnesses may lie without harm.
    """

    faulty: int
    witnesses: tuple[str, ...]

    @property
    def quorum(self) -> int:
        """How many witnesses decide: any two sets of this size share more than `faulty` witnesses."""
        return (len(self.witnesses) + self.faulty) // 2 + 1

    def speaker(self, round_number: int) -> str:
        """The witness whose vote the others wait for in this round, a number from 1 on."""
        return self.witnesses[round_number % len(self.witnesses)]

    @property
    def fields(self) -> dict[str, Any]:
        """What a policy record says beside the mandatory keys, and what the name of the domain commits to."""
        return {"faulty": self.faulty, "witnesses": list(self.witnesses)}

    @property
    def name(self) -> str:
        """The last part of the names of the domains that have this policy."""
        digest = hashlib.sha256(encode(self.fields)).digest()
        return "w" + base64.b32encode(digest).decode().rstrip("=").lower()


def make_policy(witnesses: list[str], faulty: int) -> Policy:
    """The policy of these keys, in any order.

    Raises:
        ProtocolError: `malformed`, as for `check_policy`.
    """
    return check_policy({"faulty": faulty, "witnesses": sorted(witnesses)})


def policy_of(record: Record) -> Policy | None:
    """The policy that this record of the label `@policy` gives its domain; None if it gives none.

    A record without `prev` whose content has the digest in the domain's name, whoever signed it.
    """
    name = policy_name_of(record.domain)
    if name is None or record.label != POLICY_LABEL:
        return None
    fields = msgspec.json.decode(record.canonical)
    if fields.keys() != _RECORD_KEYS:
        return None
    try:
        policy = check_policy({key: fields[key] for key in _POLICY_KEYS})
    except ProtocolError:
        return None
    return policy if policy.name == name else None


def check_policy(fields: dict[str, Any]) -> Policy:
    """The policy with these two fields, `faulty` and `witnesses`.

    Raises:
        ProtocolError: `malformed`, with the rule that is broken.
    """
    if fields.keys() != _POLICY_KEYS:
        raise _malformed("a policy has the keys `faulty` and `witnesses`, and no others")
    witnesses, faulty = fields["witnesses"], fields["faulty"]
    if type(witnesses) is not list or not all(type(each) is str and is_key(each) for each in witnesses):
        raise _malformed("`witnesses` is a list of Ed25519 public keys, 64 lower-case hex digits each")
    if not 1 <= len(witnesses) <= WITNESSES_MAX:
        raise _malformed(f"a policy names 1 to {WITNESSES_MAX} witnesses, and this one names {len(witnesses)}")
    if any(one >= next_one for one, next_one in pairwise(witnesses)):
        raise _malformed("`witnesses` is sorted, and names no key twice")
    if type(faulty) is not int or faulty < 0:
        raise _malformed("`faulty` is an integer, 0 or more")
    if len(witnesses) < 3 * faulty + 1:
        raise _malformed(f"{faulty} faulty witnesses need {3 * faulty + 1} witnesses or more: {len(witnesses)} named")
    return Policy(faulty, tuple(witnesses))


def _malformed(detail: str) -> ProtocolError:
    return ProtocolError(Code.MALFORMED, detail)
