"""A node as a process that is killed and started again."""

import errno
import socket
import sys
from pathlib import Path

import pytest

from simulations.processes.process import running


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot hold a port")
def test_nobody_else_gets_the_port_of_a_node_that_is_down(tmp_path: Path) -> None:
    with running("node", tmp_path / "data") as node, socket.socket() as other:
        port = int(node.url.rpartition(":")[2])
        node.kill()
        with pytest.raises(OSError) as refused:  # noqa: PT011 - the test compares its number
            other.bind(("127.0.0.1", port))
        node.start()

        assert refused.value.errno == errno.EADDRINUSE
        assert node.url == f"http://127.0.0.1:{port}"
