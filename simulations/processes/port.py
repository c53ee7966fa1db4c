"""A port of this machine for a node that is killed and started again.

While nobody listens at a port that the system picked, the system may give the port to the next program that asks for
any port, or to the next connection. So a socket that does not listen is bound to the port. On Linux the system then
picks the port for nobody else, and a program that names the port may listen there, because both sockets have
`SO_REUSEADDR`.
"""

import socket
import sys


def hold_port() -> socket.socket | None:
    """A socket that keeps a free port of 127.0.0.1 until it is closed. None: this system has no such sockets."""
    if sys.platform != "linux":
        return None
    holder = socket.socket()
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
    except BaseException:
        holder.close()
        raise
    return holder
