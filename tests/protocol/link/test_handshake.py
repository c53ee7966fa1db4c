"""Who the peer is: proved by a signature that is valid on one link, in one role, between two keys."""

import msgspec
import pytest

from protocol.errors import Code, ProtocolError
from protocol.link.features import FEATURES
from protocol.link.handshake import auth, check_auth, check_copy, check_hello, hello
from protocol.link.messages import Auth, Hello
from protocol.link.terms import Identity, Role, Terms
from protocol.signing import SigningKey, statement
from tests.history import ALICE, BOB, CAROL


def identity(key: SigningKey, nonce: str = "1") -> Identity:
    return Identity(key, nonce * 64, "test")


def greeting(key: SigningKey, nonce: str = "1") -> Hello:
    return hello(identity(key, nonce), Terms(push=True))


def test_a_hello_says_who_the_node_is_and_what_its_row_for_the_peer_says() -> None:
    said = hello(Identity(ALICE, "7" * 64, "dnarc/1", time=5, instance="x"), Terms(push=True, pull=False))

    assert said == Hello(
        1, ALICE.public, "7" * 64, "dnarc/1", push=True, pull=False, time=5, features=FEATURES, instance="x"
    )


def test_a_proof_signs_the_lines_that_the_contract_names() -> None:
    proof = auth(Role.ACCEPTOR, identity(BOB, "2"), greeting(ALICE, "1"))

    lines = ("acceptor", ALICE.public, BOB.public, "1" * 64, "2" * 64)
    assert proof == Auth(BOB.sign(("dnarc:auth:v1\n" + "\n".join(lines)).encode()))
    assert statement("auth", *lines) == ("dnarc:auth:v1\n" + "\n".join(lines)).encode()


def test_both_prove_their_keys_to_each_other() -> None:
    alice, bob = identity(ALICE, "1"), identity(BOB, "2")

    check_auth(auth(Role.DIALLER, alice, greeting(BOB, "2")), Role.ACCEPTOR, bob, greeting(ALICE, "1"))
    check_auth(auth(Role.ACCEPTOR, bob, greeting(ALICE, "1")), Role.DIALLER, alice, greeting(BOB, "2"))


FORGED = [
    ("another key signed", auth(Role.DIALLER, identity(CAROL, "1"), greeting(BOB, "2"))),
    ("our own proof, sent back", auth(Role.ACCEPTOR, identity(BOB, "2"), greeting(ALICE, "1"))),
    ("for the other role", auth(Role.ACCEPTOR, identity(ALICE, "1"), greeting(BOB, "2"))),
    ("for another node", auth(Role.DIALLER, identity(ALICE, "1"), greeting(CAROL, "2"))),
    ("for an earlier link", auth(Role.DIALLER, identity(ALICE, "1"), greeting(BOB, "3"))),
    ("with another nonce than in its hello", auth(Role.DIALLER, identity(ALICE, "9"), greeting(BOB, "2"))),
    ("no signature", Auth("0" * 128)),
]


@pytest.mark.parametrize(("name", "proof"), FORGED, ids=[name for name, _ in FORGED])
def test_a_proof_is_valid_on_one_link_in_one_role_between_two_keys(name: str, proof: Auth) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_auth(proof, Role.ACCEPTOR, identity(BOB, "2"), greeting(ALICE, "1"))

    assert caught.value.code is Code.BAD_SIGNATURE


def test_a_key_that_is_not_a_point_of_the_curve_proves_nothing() -> None:
    theirs = msgspec.structs.replace(greeting(ALICE), node="ff" * 32)

    with pytest.raises(ProtocolError) as caught:
        check_auth(Auth("0" * 128), Role.ACCEPTOR, identity(BOB), theirs)

    assert caught.value.code is Code.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("theirs", "expected_key", "code"),
    [
        (msgspec.structs.replace(greeting(ALICE), version=2), None, Code.UNSUPPORTED_VERSION),
        (greeting(BOB), None, Code.UNAUTHORIZED),
        (greeting(ALICE), CAROL.public, Code.UNAUTHORIZED),
    ],
    ids=["another version", "the node itself", "another key than the pinned key"],
)
def test_a_hello_of_a_wrong_node_is_refused(theirs: Hello, expected_key: str | None, code: Code) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_hello(theirs, identity(BOB), expected_key)

    assert caught.value.code is code


@pytest.mark.parametrize("expected_key", [None, ALICE.public], ids=["any key", "the pinned key"])
def test_a_hello_with_an_expected_key_is_accepted(expected_key: str | None) -> None:
    check_hello(greeting(ALICE), identity(BOB), expected_key)


@pytest.mark.parametrize(
    ("theirs", "code", "words"),
    [
        ("ours", Code.UNAUTHORIZED, "is the node itself"),
        ("another", Code.DUPLICATE_KEY, "another node runs with the same key"),
        ("", Code.UNAUTHORIZED, "or a copy of it"),
    ],
)
def test_a_copy_of_this_node_is_told_apart_from_the_node_itself(theirs: str, code: Code, words: str) -> None:
    """To remove the peer mends nothing if the peer is a copy."""
    ours = Identity(ALICE, "1" * 64, "test", instance="ours")
    said = hello(Identity(ALICE, "2" * 64, "test", instance=theirs), Terms())

    with pytest.raises(ProtocolError) as caught:
        check_both(said, ours)

    assert caught.value.code is code
    assert words in caught.value.detail


def check_both(said: Hello, ours: Identity) -> None:
    check_hello(said, ours, None)
    check_copy(said, ours)


def test_the_hello_of_a_copy_passes_so_that_it_can_prove_the_key() -> None:
    """Without the proof, anybody could make a node believe that it has a copy."""
    ours = Identity(BOB, "1" * 64, "test", instance="ours")

    check_hello(hello(Identity(BOB, "2" * 64, "test", instance="another"), Terms()), ours, CAROL.public)
