"""Signatures: one predicate decides for the whole network, and only libsodium computes it."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ProtocolError
from protocol.records.record import SignedRecord, check_signature_spelling, decode
from protocol.signing import EDGES, SigningKey, differing_edges, is_key, is_signature, statement, verify
from tests.history import ALICE, BOB, claim, signed
from tests.paths import VECTORS

WYCHEPROOF = VECTORS / "wycheproof_ed25519.json"

ENCODABLE = st.characters(codec="utf-8")

STRICTER: dict[int, str] = {}
"""Cases that Wycheproof calls valid and libsodium refuses, by tcId, with a reason for each. The vectors have no case of
this kind."""


@pytest.fixture(scope="module")
def wycheproof() -> list[tuple[str, dict[str, Any]]]:
    if not WYCHEPROOF.is_file():
        pytest.skip("Wycheproof's vectors are not part of the repository and are absent here")
    groups = json.loads(WYCHEPROOF.read_text())["testGroups"]
    return [(group["publicKey"]["pk"], case) for group in groups for case in group["tests"]]


def is_accepted(key: str, case: dict[str, Any]) -> bool:
    """Whether a record with this signature passes. The spelling comes first: a signature of a wrong length never
    reaches libsodium.
    """
    return is_signature(case["sig"]) and verify(key, bytes.fromhex(case["msg"]), case["sig"])


def test_our_verdicts_equal_those_of_wycheproof(wycheproof: list[tuple[str, dict[str, Any]]]) -> None:
    valid = {case["tcId"] for _, case in wycheproof if case["result"] == "valid"}

    accepted = {case["tcId"] for key, case in wycheproof if is_accepted(key, case)}

    assert len(valid) > 50
    assert len(wycheproof) - len(valid) > 50
    assert accepted == valid - STRICTER.keys()


@pytest.mark.parametrize(
    ("key", "signature", "is_valid"), [edge[1:] for edge in EDGES], ids=[edge[0] for edge in EDGES]
)
def test_a_signature_on_which_libraries_differ_gets_the_verdict_of_the_network(
    key: str, signature: str, is_valid: bool
) -> None:
    assert is_key(key)
    assert is_signature(signature)
    assert verify(key, b"dnarc", signature) is is_valid


def test_the_installed_libsodium_decides_every_edge_as_the_network() -> None:
    assert differing_edges() == []


def test_openssl_accepts_an_edge_that_the_network_refuses() -> None:
    """This is why only libsodium decides: one such record would split the network for ever."""
    _, key, signature, is_valid = next(edge for edge in EDGES if edge[0].startswith("A of order 8"))

    Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(signature), b"dnarc")

    assert is_valid is False


@given(st.binary(), st.binary(min_size=32, max_size=32))
def test_a_signature_verifies_for_its_own_key_and_message_only(message: bytes, seed: bytes) -> None:
    key = SigningKey(seed)

    signature = key.sign(message)

    assert is_key(key.public)
    assert is_signature(signature)
    assert signature == SigningKey(seed).sign(message)
    assert verify(key.public, message, signature)
    assert not verify(key.public, message + b"\0", signature)
    assert not verify(ALICE.public, message, signature)


@given(st.integers(0, 511))
def test_a_signature_with_one_flipped_bit_is_refused(bit: int) -> None:
    signature = bytearray.fromhex(ALICE.sign(b"message"))
    signature[bit // 8] ^= 1 << bit % 8

    assert not verify(ALICE.public, b"message", signature.hex())


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_has_32_bytes(length: int) -> None:
    with pytest.raises(AssertionError):
        SigningKey(bytes(length))


def test_a_key_does_not_show_its_secret() -> None:
    assert repr(ALICE) == f"SigningKey({ALICE.public})"


@pytest.mark.parametrize(("is_spelled", "length"), [(is_key, 64), (is_signature, 128)], ids=["a key", "a signature"])
def test_hex_is_lower_case_and_has_one_length(is_spelled: Any, length: int) -> None:
    assert is_spelled("0af9" * (length // 4))
    for wrong in (
        "a" * (length - 1),
        "a" * (length + 1),
        "A" * length,
        "g" * length,
        "a" * length + "\n",
        "",
        "\uff11" * length,
    ):
        assert not is_spelled(wrong), wrong


def test_a_signature_that_is_misspelled_is_malformed() -> None:
    check_signature_spelling("a" * 128)
    with pytest.raises(ProtocolError, match="malformed: a signature is 128 lower-case hex digits"):
        check_signature_spelling("A" * 128)


@given(st.text(ENCODABLE), st.lists(st.text(ENCODABLE)))
def test_no_statement_is_also_a_record(kind: str, lines: list[str]) -> None:
    message = statement(kind, *lines)

    assert message.startswith(f"dnarc:{kind}:v1\n".encode())
    with pytest.raises(ProtocolError):
        decode(message)


def test_every_record_begins_with_a_brace() -> None:
    assert claim("garden").canonical.startswith(b"{")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n")), max_size=3))
def test_statements_of_different_kinds_or_lines_differ(lines: list[str]) -> None:
    message = statement("auth", *lines)

    assert message == b"dnarc:auth:v1\n" + "\n".join(lines).encode()
    assert message != statement("push", *lines)
    assert message != statement("auth", *lines, "more")


def test_a_signed_record_is_genuine_only_for_its_own_key() -> None:
    record = claim("garden", by=ALICE)

    assert signed(record).is_genuine()
    assert not SignedRecord(BOB.sign(record.canonical), record).is_genuine()
    assert not SignedRecord(ALICE.sign(b"{}"), record).is_genuine()


def test_a_claim_made_with_another_library_is_accepted() -> None:
    """To write a claim, a client needs only a JSON library that sorts keys, and Ed25519."""
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    fields = {"domain": "example", "label": "garden", "signedby": public, "timestamp": 1, "fruit": "Äpfel"}
    body = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    record = decode(json.dumps(fields, indent=2).encode())

    assert record.canonical == body
    assert SignedRecord(key.sign(body).hex(), record).is_genuine()
