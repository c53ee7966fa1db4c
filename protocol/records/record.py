"""Record: one signed JSON object, and the only thing that nodes pass on.

The canonical bytes and the signature alone decide whether a record is valid. No clock, no setting and no other record
has a say, so that every node gives the same answer, now and in ten years. A record's id is the SHA-256 of its canonical
bytes. The signature is not part of the id, because a signer can make any number of signatures of the same bytes.
"""

import hashlib
import re
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

import msgspec

from protocol.errors import Code, ProtocolError
from protocol.limits import (
    DOMAIN_CHARACTERS_MAX,
    DOMAIN_PATTERN,
    LABEL_BYTES_MAX,
    RECORD_BYTES_MAX,
    SAFE_INTEGER_MAX,
    SPELLING_BYTES_MAX,
)
from protocol.records.canonical import canonicalise, encode, encode_quickly, read_canonical
from protocol.signing import SigningKey, is_key, is_signature, verify

_DOMAIN = re.compile(DOMAIN_PATTERN)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ID = re.compile(r"[0-9a-f]{64}\Z")
_WITNESSED = re.compile(r"(?:.*\.)?(w[a-z2-7]{51}[aq])\Z")
"""256 bits fill 51 characters of base32 and one bit of the 52nd, so that one is `a` or `q`."""

_SKELETON_BEGINS = b'{"timestamp":'
_KEY_WORDS = "an Ed25519 public key, 64 lower-case hex digits"

POLICY_LABEL = "@policy"
RECEIPT_PREFIX = "@seen/"


# `gc=False`, here and on values that hold records: a value that holds only text, numbers and other such values is part
# of no reference cycle. The garbage collector then skips all records in flight, which saved a fifth of the loop's time.
class Record(msgspec.Struct, frozen=True, gc=False):
    """A well-formed record. Only `decode` and `make` build one, because they check every field.

    `signedby` and `newowner` are public keys, `prev` and `id` are record ids: 64 lower-case hex digits each.
    `timestamp` is in seconds since the Unix epoch. `canonical` are the bytes that are signed, hashed, stored and sent.
    `index_key` is the order key as 40 bytes: the timestamp, 8 bytes big-endian, then the id. A node asks its indexes
    for each record several times, so the key is packed once.
    """

    domain: str
    label: str
    signedby: str
    timestamp: int
    newowner: str | None
    prev: str | None
    id: str
    canonical: bytes
    index_key: bytes

    @property
    def order_key(self) -> tuple[int, str]:
        """Records sort oldest first. The id breaks ties the same way everywhere, and nobody can choose it freely."""
        return (self.timestamp, self.id)

    @property
    def is_erased(self) -> bool:
        """Whether `canonical` is a skeleton, because the operator of this node erased the body (`skeleton`)."""
        return is_skeleton(self.canonical)

    @property
    def is_reserved(self) -> bool:
        """Whether the label is kept for a later version, because it starts with `@`. No node stores such a record.

        Witnessed domains use two kinds of these labels.
        """
        return self.label.startswith("@") and not (self.is_of_witnesses and is_witnessed(self.domain))

    @property
    def is_of_witnesses(self) -> bool:
        """Whether the label is the one of the policy, or one of receipts, if the domain is witnessed."""
        label = self.label
        return label[:1] == "@" and (label == POLICY_LABEL or label.startswith(RECEIPT_PREFIX))


class SignedRecord(msgspec.Struct, frozen=True, gc=False):
    """A record and the signature that came with it, 128 lower-case hex digits. The signature may be false."""

    signature: str
    record: Record

    def is_genuine(self) -> bool:
        """Whether the key named in `signedby` signed the record. This takes about 60 us."""
        return verify(self.record.signedby, self.record.canonical, self.signature)


def decode_quickly(data: bytes) -> Record | None:
    """The record of which these are the canonical bytes; None if the fast path cannot prove that they are.

    Then only `decode` can tell. This takes about 10 us for a small record, and 2 ms at most.

    Raises:
        ProtocolError: `malformed`.
    """
    value = read_canonical(data) if len(data) <= RECORD_BYTES_MAX else None
    return None if value is None else _checked(value, data)


def decode(data: bytes) -> Record:
    """The record in these bytes, in any JSON spelling.

    Raises:
        ProtocolError: `too_large`, or `malformed` with the reason. No bytes raise anything else.
    """
    if len(data) > SPELLING_BYTES_MAX:
        raise ProtocolError(
            Code.TOO_LARGE, f"a text of {len(data)} bytes: a record is read from {SPELLING_BYTES_MAX} at most"
        )
    value, canonical = canonicalise(data)
    return _checked(value, canonical)


def check_canonical(record: Record, data: bytes) -> None:
    """Check that the record was decoded from its canonical bytes, and from no other spelling.

    Raises:
        ProtocolError: `malformed`.
    """
    if record.canonical != data:
        raise ProtocolError(Code.MALFORMED, "these bytes are not the canonical ones: send the bytes that were signed")


def decode_signed(signature: str, data: bytes) -> SignedRecord:
    """The record in these bytes, in any JSON spelling, with its signature, which may be false.

    Raises:
        ProtocolError: as for `decode`; also `malformed` for what could not be a signature.
    """
    check_signature_spelling(signature)
    return SignedRecord(signature, decode(data))


def make(fields: dict[str, Any]) -> Record:
    """The record with these fields, ready to be signed.

    Raises:
        ProtocolError: as for `decode`.
    """
    return decode(encode_quickly(fields) or encode(fields))


def sign(record: Record, key: SigningKey) -> SignedRecord:
    """The record with a signature by `key`, which `signedby` has to name."""
    assert record.signedby == key.public, "a record is signed by the key that it names"
    return SignedRecord(key.sign(record.canonical), record)


def check_signature_spelling(text: str) -> None:
    """Check that this could be a signature: 128 lower-case hex digits.

    Raises:
        ProtocolError: `malformed`.
    """
    if not is_signature(text):
        raise ProtocolError(Code.MALFORMED, "a signature is 128 lower-case hex digits")


def is_skeleton(body: bytes) -> bool:
    """Whether these bytes, which a store holds for a record, are its skeleton."""
    return body.startswith(_SKELETON_BEGINS)


def index_key(timestamp: int, record_id: bytes) -> bytes:
    """The index key of a record with this timestamp, in seconds, and this id of 32 bytes.

    `protocol.sets.index.pack_key` makes the same bytes; a test compares the two.
    """
    return timestamp.to_bytes(8, "big") + record_id


def is_id(text: str) -> bool:
    """Whether this could be a record id: 64 lower-case hex digits."""
    return _ID.match(text) is not None


def are_ids(texts: Collection[str]) -> bool:
    """Whether each of these could be a record id. One question for all of them: a receipt names 400 ids."""
    together = "".join(texts)
    try:
        return set(map(len, texts)) <= {64} and bytes.fromhex(together).hex() == together
    except ValueError:
        return False


def is_domain(text: str) -> bool:
    """Whether this can be the name of a domain (`DOMAIN_PATTERN`)."""
    return len(text) <= DOMAIN_CHARACTERS_MAX and _names_domain(text)


@lru_cache(1_024)
def _names_domain(text: str) -> bool:
    """Cached, because nearly all records belong to a domain that was asked for a moment ago."""
    return _DOMAIN.match(text) is not None


@lru_cache(1_024)
def is_witnessed(domain: str) -> bool:
    """Whether this is the name of a witnessed domain: its last part commits to a policy (`protocol.witness.policy`)."""
    return policy_name_of(domain) is not None


@lru_cache(1_024)
def policy_name_of(domain: str) -> str | None:
    """The last part of the name of a witnessed domain; None for every other name."""
    match = _WITNESSED.match(domain)
    return None if match is None else match[1]


def is_label(text: str) -> bool:
    """Whether this can be the name of a label: 1 to 255 bytes of UTF-8 without control characters."""
    if text.isascii() and text.isprintable():  # most labels, in a third of the time
        return 0 < len(text) <= LABEL_BYTES_MAX
    try:
        length = len(text.encode())
    except UnicodeEncodeError:  # a lone surrogate: no record holds one, but a decoded URL may
        return False
    return 0 < length <= LABEL_BYTES_MAX and _CONTROL.search(text) is None


def _checked(value: Any, canonical: bytes) -> Record:
    if type(value) is not dict:
        raise ProtocolError(Code.MALFORMED, "a record is a JSON object")
    domain, label, signedby = value.get("domain"), value.get("label"), value.get("signedby")
    if type(domain) is not str or not is_domain(domain):
        raise _broken(value, "domain", "1 to 253 characters: dot-separated parts of a-z 0-9 -, no - at an end")
    if type(label) is not str or not is_label(label):
        raise _broken(value, "label", "1 to 255 bytes of UTF-8 without control characters")
    if type(signedby) is not str or not is_key(signedby):
        raise _broken(value, "signedby", _KEY_WORDS)
    timestamp = _timestamp(value)
    newowner = _string(value, "newowner", is_key, _KEY_WORDS) if "newowner" in value else None
    prev = _string(value, "prev", is_id, "a record id, 64 lower-case hex digits") if "prev" in value else None
    if len(canonical) > RECORD_BYTES_MAX:
        raise ProtocolError(
            Code.TOO_LARGE, f"{len(canonical)} canonical bytes: a record has at most {RECORD_BYTES_MAX}"
        )
    digest = hashlib.sha256(canonical).digest()
    key = index_key(timestamp, digest)
    return Record(domain, label, signedby, timestamp, newowner, prev, digest.hex(), canonical, key)


def _string(value: dict[str, Any], key: str, rule: Callable[[str], bool], words: str) -> str:
    text = value[key]
    if type(text) is not str or not rule(text):
        raise _broken(value, key, words)
    return text


def _timestamp(value: dict[str, Any]) -> int:
    timestamp = value.get("timestamp")
    if type(timestamp) is not int or not 1 <= timestamp <= SAFE_INTEGER_MAX:
        raise _broken(value, "timestamp", "seconds since the Unix epoch, an integer from 1 to 2^53-1")
    return timestamp


def _broken(value: dict[str, Any], key: str, words: str) -> ProtocolError:
    """The error for a field that breaks its rule. `words` describe the rule."""
    problem = "has the wrong form" if key in value else "is missing"
    return ProtocolError(Code.MALFORMED, f"`{key}` {problem}: {words}", key=key)
