"""A node seen from outside. Applications import `Client` from here; commands use the blocking client beside it.

Names are loaded when they are asked for: the asynchronous client costs 0.3 s to import, and no command needs it.
`docs/python.md` shows how to use them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from node.client.claim import Claim as Claim
    from node.client.claim import SecretInClaim as SecretInClaim
    from node.client.client import ANY_HEAD as ANY_HEAD
    from node.client.client import Client as Client
    from node.client.client import Event as Event
    from node.client.client import Put as Put
    from node.client.conversation import Retry as Retry
    from node.client.errors import ClientError as ClientError
    from node.client.errors import Conflict as Conflict
    from node.client.errors import NodeError as NodeError
    from node.client.errors import Refused as Refused
    from node.client.errors import Unreachable as Unreachable
    from node.client.errors import Untrusted as Untrusted
    from node.client.history import History as History
    from node.client.keyfile import KeyfileError as KeyfileError
    from node.client.keyfile import create as create_key
    from node.client.keyfile import load as load_key
    from protocol.signing import SigningKey as SigningKey

_PLACES: Final = {
    "ANY_HEAD": "node.client.client:ANY_HEAD",
    "Claim": "node.client.claim:Claim",
    "Client": "node.client.client:Client",
    "ClientError": "node.client.errors:ClientError",
    "Conflict": "node.client.errors:Conflict",
    "Event": "node.client.client:Event",
    "History": "node.client.history:History",
    "KeyfileError": "node.client.keyfile:KeyfileError",
    "NodeError": "node.client.errors:NodeError",
    "Put": "node.client.client:Put",
    "Refused": "node.client.errors:Refused",
    "Retry": "node.client.conversation:Retry",
    "SecretInClaim": "node.client.claim:SecretInClaim",
    "SigningKey": "protocol.signing:SigningKey",
    "Unreachable": "node.client.errors:Unreachable",
    "Untrusted": "node.client.errors:Untrusted",
    "create_key": "node.client.keyfile:create",
    "load_key": "node.client.keyfile:load",
}

__all__ = [
    "ANY_HEAD",
    "Claim",
    "Client",
    "ClientError",
    "Conflict",
    "Event",
    "History",
    "KeyfileError",
    "NodeError",
    "Put",
    "Refused",
    "Retry",
    "SecretInClaim",
    "SigningKey",
    "Unreachable",
    "Untrusted",
    "create_key",
    "load_key",
]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
