"""Passports: how a process that follows tells the writer from whom a request came that it passes on.

The writer believes nobody's word about the address of a caller. So the process that follows seals the address, with a
secret that only the processes of the fleet have: HMAC-SHA-256 (RFC 2104). The seal covers the request and the time, so
that it is good for no other request, and for this one for a minute only.
"""

import hmac
from hashlib import sha256
from typing import Final

import msgspec

from protocol.signing import SigningKey

HEADER: Final = "Dnarc-Relayed"
"""The header with the passport. A process that follows drops it from what clients send."""

DIFFERENCE_S_MAX: Final = 60
"""Seconds by which the clocks of two processes may differ."""

_PURPOSE: Final = b"dnarc fleet passport v1"
_LOCAL: Final = "-"
"""Stands for a caller on the machine of the process that passes on."""


class Passport(msgspec.Struct, frozen=True):
    """Whose request this is: the `address` that quotas count under; None: a caller on the machine of that process."""

    address: str | None


def secret_of(key: SigningKey) -> bytes:
    """The secret that all processes with this key have."""
    return hmac.digest(key.seed, _PURPOSE, sha256)


def seal(secret: bytes, method: str, target: str, passport: Passport, now_s: float) -> str:
    """The value of `HEADER` for this request. `target` is the path with the query, as it is sent."""
    time, address = str(int(now_s)), _LOCAL if passport.address is None else passport.address
    return f"{time} {address} {_mac(secret, time, method, target, address)}"


def unseal(secret: bytes, method: str, target: str, value: str, now_s: float) -> Passport | None:
    """The passport in this value; None if this fleet did not seal it, or not for this request, or not lately."""
    parts = value.split(" ")
    if len(parts) != 3 or not (parts[0].isascii() and parts[0].isdigit() and len(parts[0]) <= 12 and value.isascii()):
        return None
    time, address, mac = parts
    if not hmac.compare_digest(mac, _mac(secret, time, method, target, address)):
        return None
    if abs(now_s - int(time)) > DIFFERENCE_S_MAX:
        return None
    return Passport(None if address == _LOCAL else address)


def _mac(secret: bytes, *fields: str) -> str:
    """No field holds a line feed, because HTTP ends a line there."""
    return hmac.new(secret, "\n".join(fields).encode(errors="surrogateescape"), sha256).hexdigest()
