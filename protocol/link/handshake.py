"""The first two frames in each direction: who are you, and can you prove it?

Each side names its key and a nonce that it has drawn for this link. Then each side signs both keys, both nonces and its
own role. The peer's nonce makes each proof new, so an old proof is of no use. The keys and the role make a proof
useless to another node and in the other role (Abadi and Needham, "Prudent Engineering Practice for Cryptographic
Protocols", 1996: a message says everything on which its meaning depends).

The proof is not bound to the connection. An attacker between two nodes can pass their frames on, and then read and
change the records; `wss` prevents that.
"""

from protocol.errors import Code, ProtocolError
from protocol.link.copies import IS_COPIED
from protocol.link.features import FEATURES
from protocol.link.messages import LINK_VERSION, Auth, Hello
from protocol.link.terms import Identity, Role, Terms
from protocol.signing import statement, verify


def hello(identity: Identity, terms: Terms) -> Hello:
    """What this node says of itself, and of its row for the peer."""
    return Hello(
        version=LINK_VERSION,
        node=identity.key.public,
        nonce=identity.nonce,
        agent=identity.agent,
        push=terms.push,
        pull=terms.pull,
        time=identity.time,
        features=FEATURES,
        instance=identity.instance,
    )


def check_hello(theirs: Hello, identity: Identity, expected_key: str | None) -> None:
    """Check that the peer speaks our version and is not a wrong node. `expected_key`: the pinned key, None: any.

    Raises:
        ProtocolError: `unsupported_version`; `unauthorized` for this node itself, or for another key than the pinned.
    """
    if theirs.version != LINK_VERSION:
        detail = f"version {theirs.version}: this node speaks {LINK_VERSION}"
        raise ProtocolError(Code.UNSUPPORTED_VERSION, detail)
    if theirs.node == identity.key.public:
        error = own_key_error(theirs.instance, identity.instance)
        if error.code is Code.DUPLICATE_KEY:
            return  # `check_copy` ends the link as soon as the proofs are sent
        raise error
    if expected_key not in (None, theirs.node):
        detail = f"its key is {theirs.node}, and {expected_key} is the one that is pinned: another node, or an attacker"
        raise ProtocolError(Code.UNAUTHORIZED, detail)


def check_copy(theirs: Hello, identity: Identity) -> None:
    """Check that the peer is no other process with this node's key.

    A dialler checks this after it has sent its proof, and an acceptor after it has read the proof. So the node that is
    dialled knows that it has a copy, and nobody without the key can make it believe so.

    Raises:
        ProtocolError: `duplicate_key`.
    """
    if theirs.node == identity.key.public:
        raise own_key_error(theirs.instance, identity.instance)


def own_key_error(theirs: str, ours: str) -> ProtocolError:
    """A peer shows this node's own key: the error for a peer of this instance. `ours` is this node's own instance."""
    if theirs and ours and theirs != ours:
        return ProtocolError(Code.DUPLICATE_KEY, IS_COPIED)
    if theirs:
        return ProtocolError(Code.UNAUTHORIZED, "this peer is the node itself: remove it")
    detail = (
        "this peer has the node's own key: it is the node itself (remove it), or a copy of it (delete its node.key)"
    )
    return ProtocolError(Code.UNAUTHORIZED, detail)


def auth(role: Role, identity: Identity, theirs: Hello) -> Auth:
    """The proof that this node holds its key."""
    ours = (identity.key.public, identity.nonce)
    return Auth(identity.key.sign(_statement(role, ours, (theirs.node, theirs.nonce))))


def check_auth(proof: Auth, role: Role, identity: Identity, theirs: Hello) -> None:
    """Check that the peer holds the key that its hello names. `role` is ours.

    Raises:
        ProtocolError: `bad_signature`.
    """
    other = Role.ACCEPTOR if role is Role.DIALLER else Role.DIALLER
    signed = _statement(other, (theirs.node, theirs.nonce), (identity.key.public, identity.nonce))
    if not verify(theirs.node, signed, proof.signature):
        raise ProtocolError(Code.BAD_SIGNATURE, f"the other end has not proved that it holds the key {theirs.node}")


def _statement(signer: Role, ours: tuple[str, str], theirs: tuple[str, str]) -> bytes:
    """What the signer signs. `ours` and `theirs` are the key and the nonce of the signer and of the other side."""
    dialler, acceptor = (ours, theirs) if signer is Role.DIALLER else (theirs, ours)
    return statement("auth", signer, dialler[0], acceptor[0], dialler[1], acceptor[1])
