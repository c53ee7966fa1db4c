"""Push: how a node shows, over plain HTTP, that a batch of records comes from it.

A link proves who is at its other end once; an HTTP request has to do so by itself. The pusher signs whom it pushes to,
when, and what, so that a batch that was overheard cannot be given to another node, given again later, or changed:

    Dnarc-Push: key=HEX, time=UNIX, signature=HEX

This shows who speaks and nothing else: whether that key is a peer is for the receiver's table of peers to say. HTTP
message signatures (RFC 9421) could carry the same in far more words.
"""

import hashlib
import re
from typing import Final

from protocol.errors import Code, ProtocolError
from protocol.signing import SigningKey, is_key, is_signature, statement, verify

PUSH_HEADER: Final = "Dnarc-Push"

PUSH_AGE_S_MAX: Final = 300
"""How far the time of a push may be from now, either way: more than clocks that are set differ and requests take."""

_TIME = re.compile(r"[1-9][0-9]{0,15}\Z")
_FORM: Final = f"{PUSH_HEADER} is: key=HEX, time=UNIX, signature=HEX"


def sign_push(key: SigningKey, receiver: str, body: bytes, now_s: float) -> str:
    """The header's value for a request with this body. `receiver` is the node key of the node that it is for."""
    time = int(now_s)
    return f"key={key.public}, time={time}, signature={key.sign(_statement(receiver, time, body))}"


def check_push(header: str, receiver: str, body: bytes, now_s: float) -> str:
    """The key that pushed this body to `receiver`, whose clock says `now_s`. Anybody can make a key: look it up.

    Raises:
        ProtocolError: `malformed` where the header cannot be read; `bad_signature` where it is forged, old, or for
            another node.
    """
    fields = _fields(header)
    key, signature, time = fields["key"], fields["signature"], int(fields["time"])
    if abs(now_s - time) > PUSH_AGE_S_MAX:
        behind = int(now_s - time)
        detail = f"signed {behind} s before this node's clock, {PUSH_AGE_S_MAX} s at most either way"
        raise ProtocolError(Code.BAD_SIGNATURE, detail, now=int(now_s))
    if not verify(key, _statement(receiver, time, body), signature):
        detail = f"{key} did not sign this push of these records to this node, {receiver}"
        raise ProtocolError(Code.BAD_SIGNATURE, detail, node=receiver)
    return key


def _statement(receiver: str, time: int, body: bytes) -> bytes:
    return statement("push", receiver, str(time), hashlib.sha256(body).hexdigest())


def _fields(header: str) -> dict[str, str]:
    """The three fields in any order, others left out: a later version may add some."""
    pairs = [part.strip().partition("=") for part in header.split(",")]
    fields = {name: value for name, _, value in pairs}
    is_whole = (
        is_key(fields.get("key", ""))
        and is_signature(fields.get("signature", ""))
        and _TIME.match(fields.get("time", ""))
    )
    if not is_whole or len(fields) < len(pairs):
        raise ProtocolError(Code.MALFORMED, _FORM)
    return fields
