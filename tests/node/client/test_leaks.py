"""Leaks: a secret is found in every spelling in which programs write keys, and innocent records pass."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.client.leaks import Leak, Secrets, find_leak, has_possible_seed
from tests.history import ALICE, BOB

SEED = ALICE.seed
HEX = SEED.hex()
BOX = base64.b64encode(bytes(range(200, 240)) * 2).decode()
TOKEN = "t0ken" * 8
SECRETS = Secrets(SEED, (BOX, TOKEN), frozenset({ALICE.public}))
NAMES = {"domain": "example.org", "label": "garden", "signedby": ALICE.public}
PKCS8 = bytes.fromhex("302e020100300506032b657004220420") + SEED
BOBS_FILE = {"version": 1, "public": BOB.public, "seed": BOB.seed.hex()}
SEALED_FILE = {"version": 1, "public": BOB.public, "sealed": {"kdf": "argon2id", "salt": "AA==", "box": "AA=="}}
OWN = "the secret seed of your key"

LEAKS: list[tuple[dict[str, Any], Leak]] = [
    ({"note": HEX}, Leak(OWN, "/note")),
    ({"note": HEX.upper()}, Leak(OWN, "/note")),
    ({"note": f"my seed: 0x{HEX}."}, Leak(OWN, "/note")),
    ({"note": SEED.hex(":")}, Leak(OWN, "/note")),
    ({"note": SEED.hex(" ", 4)}, Leak(OWN, "/note")),
    ({"note": HEX[:32] + "\n" + HEX[32:]}, Leak(OWN, "/note")),
    ({"note": json.dumps(json.dumps({"seed": HEX}))}, Leak(OWN, "/note")),
    ({"seed": HEX, "public": ALICE.public}, Leak(OWN, "/seed")),
    ({"deep": [{"a/b": {"note": HEX}}]}, Leak(OWN, "/deep/0/a~1b/note")),
    ({"deep": {HEX: 1}}, Leak(OWN, "the name of a field of /deep")),
    ({HEX: 1}, Leak(OWN, "the name of a field of the record")),
    ({"label": HEX}, Leak(OWN, "/label")),
    ({"newowner": HEX}, Leak(OWN, "/newowner")),
    ({"note": base64.b64encode(SEED).decode()}, Leak(f"{OWN}, in base64", "/note")),
    ({"note": base64.urlsafe_b64encode(SEED).decode().rstrip("=")}, Leak(f"{OWN}, in base64", "/note")),
    ({"note": base64.b64encode(SEED + bytes(32)).decode()}, Leak(f"{OWN}, in base64", "/note")),
    ({"note": base64.b64encode(PKCS8).decode()}, Leak(f"{OWN}, in base64", "/note")),
    ({"note": base64.encodebytes(bytes(50) + SEED).decode()}, Leak(f"{OWN}, in base64", "/note")),
    ({"bytes": list(SEED + bytes.fromhex(ALICE.public))}, Leak(OWN, "/bytes")),
    ({"note": BOX}, Leak("a secret text: a sealed key or an admin token", "/note")),
    ({"note": f"token {TOKEN}"}, Leak("a secret text: a sealed key or an admin token", "/note")),
    ({"file": BOBS_FILE}, Leak(f"the secret seed of the key {BOB.public}", "/file/seed")),
    ({"note": json.dumps(BOBS_FILE)}, Leak(f"the secret seed of the key {BOB.public}", "/note")),
    ({"a": BOB.seed.hex().upper(), "b": BOB.public}, Leak(f"the secret seed of the key {BOB.public}", "/a")),
    ({"file": SEALED_FILE}, Leak("a sealed key file", "/file")),
    ({**SEALED_FILE}, Leak("a sealed key file", "the record")),
    ({"note": json.dumps(SEALED_FILE, indent=2)}, Leak("a sealed key file", "/note")),
    ({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "AA"}}, Leak("a private key (JWK)", "/jwk")),
    (
        {"note": f"-----BEGIN PRIVATE KEY-----\n{base64.b64encode(bytes(48)).decode()}"},
        Leak("a private key (PEM)", "/note"),
    ),
    (
        {"note": "-----BEGIN OPENSSH PRIVATE KEY-----\\nb3BlbnNzaC1rZXktdjEAAAAA"},
        Leak("a private key (PEM)", "/note"),
    ),
]


@pytest.mark.parametrize(("fields", "leak"), LEAKS)
def test_a_secret_is_found_and_named_without_being_shown(fields: dict[str, Any], leak: Leak) -> None:
    found = find_leak(NAMES | fields, SECRETS)

    assert found == leak
    assert HEX not in str(found).lower()


def test_the_seed_of_a_named_key_is_found() -> None:
    """For example the seed in a node's `node.key`."""
    fields = NAMES | {"note": BOB.seed.hex()}

    assert find_leak(fields, SECRETS) is None
    found = find_leak(fields, Secrets(SEED, (), frozenset({BOB.public})))
    assert found == Leak(f"the secret seed of the key {BOB.public}", "/note")


INNOCENT: list[dict[str, Any]] = [
    {},
    {"newowner": BOB.public, "prev": "ab" * 32},
    {"hash": "ab" * 32, "n": 1, "list": list(range(32)), "bytes": [1.5] * 40, "null": None},
    {"note": "-----BEGIN PRIVATE KEY----- is how PEM begins"},
    {"note": "a key file has `seed` or `sealed`"},
    {"sealed": True, "box": "blue", "salt": 3},
    {"public": ALICE.public, "note": HEX[:63]},
    {"x": "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
]


@pytest.mark.parametrize("fields", INNOCENT)
def test_an_innocent_record_passes(fields: dict[str, Any]) -> None:
    assert find_leak(NAMES | fields, SECRETS) is None


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=40), st.binary(max_size=40))
def test_a_seed_is_found_in_the_base64_of_everything_that_holds_it(seed: bytes, before: bytes, after: bytes) -> None:
    text = base64.b64encode(before + seed + after).decode()

    assert find_leak({"note": text}, Secrets(seed)) == Leak(f"{OWN}, in base64", "/note")


def test_only_fields_of_the_claim_can_hold_the_seed_of_another_key() -> None:
    assert not has_possible_seed(NAMES | {"prev": "a" * 64, "newowner": BOB.public, "note": "a" * 65})
    assert has_possible_seed(NAMES | {"note": ["a" * 64]})
