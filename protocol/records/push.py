"""Push: how a node proves, over plain HTTP, that a batch of records comes from it.

A link proves the identity of its peer once. An HTTP request has to prove it each time. The sender therefore signs the
receiver, the time and the batch. An attacker who overhears the request can neither send it to another node, nor repeat
it later, nor change it. The signature stands in a header:

    Dnarc-Push: key=HEX, time=UNIX, signature=HEX

The header proves which key sent the batch. Whether that key is a peer is for the receiver's table of peers to say. HTTP
message signatures (RFC 9421) could express the same in many more words.
"""

import hashlib
import re
from typing import Final

from protocol.errors import Code, ProtocolError
from protocol.signing import SigningKey, is_key, is_signature, statement, verify

PUSH_HEADER: Final = "Dnarc-Push"

PUSH_AGE_S_MAX: Final = 300
"""Seconds between the time of a push and the receiver's clock, before or after. Clocks that are set differ by less, and
no request takes so long."""

_TIME = re.compile(r"[1-9][0-9]{0,15}\Z")
_FORM: Final = f"{PUSH_HEADER} is: key=HEX, time=UNIX, signature=HEX"


def sign_push(key: SigningKey, receiver: str, body: bytes, now_s: float) -> str:
    """The header's value for a request with this body. `receiver` is the node key of the receiving node."""
    time = int(now_s)
    return f"key={key.public}, time={time}, signature={key.sign(_statement(receiver, time, body))}"


def check_push(header: str, receiver: str, body: bytes, now_s: float) -> str:
    """The key that pushed this body to `receiver`, at the time `now_s` on the receiver's clock.

    Anybody can make a key, so the caller has to look the key up among its peers.

    Raises:
        ProtocolError: `malformed` if the header cannot be read; `bad_signature` if it is forged, too old or too new, or
            meant for another node.
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
    """The three fields, in any order. Other fields are ignored, because a later version may add some."""
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
