"""The package `node.client`: its public names and types, and what an import of it loads."""

import subprocess
import sys

import pytest

from tests.paths import ROOT

LIGHT = """
import sys
from node.client import Client, Conflict, load_key
servers = ("aiohttp.web", "node.http_api", "node.explorer", "node.store", "sqlite3", "aiosqlite", "prometheus_client")
print([name for name in sys.modules if name.startswith(servers)])
"""


def test_the_client_loads_no_part_of_a_server() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_every_public_name_can_be_imported() -> None:
    import node.client

    assert [name for name in node.client.__all__ if not hasattr(node.client, name)] == []
    with pytest.raises(AttributeError):
        _ = node.client.nothing


BLOCKING = """
import sys
from node.client import following, history, http, memory, publishing, reading
print("aiohttp" in sys.modules, "asyncio" in sys.modules and "node.client.client" in sys.modules)
"""


def test_commands_do_not_load_the_asynchronous_client() -> None:
    """It costs 0.3 s to import, which is longer than most commands take."""
    done = subprocess.run([sys.executable, "-c", BLOCKING], capture_output=True, text=True, check=True)

    assert done.stdout == "False False\n"


@pytest.mark.parametrize("package", ["node", "protocol"])
def test_type_checkers_of_applications_read_the_types(package: str) -> None:
    """PEP 561: without this file they treat everything as `Any`."""
    assert (ROOT / package / "py.typed").is_file()
