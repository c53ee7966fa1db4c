"""Membership: what a node gets from its fleet instead of making it by itself."""

import platform
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.fleet.following import OpenLookout
from node.fleet.standing import Role, Standing
from node.settings.settings import Settings
from protocol.signing import SigningKey

if TYPE_CHECKING:
    from node.store.postgresql import PostgresStore


@dataclass(frozen=True)
class Membership:
    """The place of one node in its fleet, for as long as the process has one role.

    All nodes of a fleet have the same `key` and `admin_token`. The node closes `store`. It listens on copies of
    `sockets`, which outlive it. `open_lookout` is used by a node that follows.
    """

    standing: Standing
    key: SigningKey
    admin_token: str
    store: "PostgresStore"
    sockets: Sequence[socket.socket]
    open_lookout: OpenLookout

    @property
    def is_follower(self) -> bool:
        return self.standing.role is Role.FOLLOWER


def url_for_others(settings: Settings, port: int) -> str:
    """The URL at which the other processes of the fleet reach the process that listens on this port."""
    if settings.advertise is not None:
        return settings.advertise.rstrip("/")
    host = platform.node() if settings.host in ("", "0.0.0.0", "::") else settings.host
    scheme = "http" if settings.tls_certificate is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
