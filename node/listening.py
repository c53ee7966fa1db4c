"""Listening sockets: where a node waits for connections."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

OpenSockets = Callable[[str, int], Awaitable[list[socket.socket]]]
"""Makes the sockets that listen at all addresses of a host, at this port."""

BACKLOG = 1_024
"""Connections that the kernel holds until they are accepted, as far as the system allows it (`somaxconn`). Past it the
kernel drops the first packet of a connection, and the client sends it again after 1 s: with 128, a client beside 576
others that connect at once waited for 1 to 3 s.
"""


async def open_sockets(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen at all addresses of this host; "" is every address. Raises: OSError: one cannot be used."""
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(infos):
            sockets.append(socket.create_server(address[:2], family=family, backlog=BACKLOG))
            sockets[-1].setblocking(False)
    except OSError:
        for each in sockets:
            each.close()
        raise
    return sockets
