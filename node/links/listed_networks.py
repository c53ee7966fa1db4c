"""Listed networks: the addresses at which listed peers proved their keys, so that places are kept for them.

A connection says who it is only after it has a place. So the node remembers in memory from where each listed peer was
last linked: after a start it learns the addresses of the peers that it dials, and of those that reach it.
"""

from collections.abc import Iterable

from node.fairness.addresses import network_of, parse_address


class ListedNetworks:
    """The address of each listed peer by its name, or its IPv6 network."""

    def __init__(self) -> None:
        self._by_name: dict[str, str] = {}

    def __contains__(self, network: object) -> bool:
        return network in self._by_name.values()

    def note(self, name: str, network: str | None, transport_address: str) -> None:
        """The peer has proved its key on a link.

        `network` is the one that its quotas count under, None if no quota counts: for a peer that was dialled, or is on
        this machine. Then its network follows from `transport_address`, the host and port at the other end.
        """
        remote = parse_address(transport_address.rpartition(":")[0])
        found = network or (None if remote is None or remote.is_loopback else network_of(remote))
        if found is not None:
            self._by_name[name] = found

    def keep(self, names: Iterable[str]) -> None:
        """Forget the peers that are not listed any more."""
        kept = set(names)
        self._by_name = {name: network for name, network in self._by_name.items() if name in kept}
