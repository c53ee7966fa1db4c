"""The secrets of a fleet: one node key and one admin token for all of its processes, so that peers see one node.

The first process makes them. They stand in the table `meta`, and each process keeps a copy in its data folder, where
the commands of its machine look for them. An operator who does not want them in the database puts the two files into
the data folder of every process before the first start, for example by a mounted secret. Then `meta` has only their
fingerprints. A file with another secret than that of the fleet ends the start.
"""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from node.disk import CannotStartError, Disk, TokenBytes


class Keeper(Protocol):
    """Keeps values for all processes of a fleet."""

    def keep(self, name: str, proposed: str) -> Awaitable[str]:
        """Store this value if there is none of this name. Returns the value that is stored."""

    def kept(self, name: str) -> Awaitable[str | None]:
        """The value of this name."""


async def shared_secret(keeper: Keeper, disk: Disk, path: Path, size_bytes: int, token_bytes: TokenBytes) -> str:
    """The secret of the fleet whose copy is in this file. The file is made if it is missing.

    Raises:
        CannotStartError: the file holds another secret, cannot be used, or is missing and only other processes have it.
        StoreError: the server cannot be reached.
    """
    name = path.name
    make: Callable[[int], bytes] = token_bytes
    if await disk.read(path) is None:
        shared = await _from_keeper(keeper, name, token_bytes(size_bytes).hex())
        if shared is None:
            raise CannotStartError(
                f"{path} is missing, and the database has only its fingerprint",
                f"copy {name} from the data folder of another process of this fleet",
            )
        make = lambda _: bytes.fromhex(shared)  # noqa: E731
    secret = disk.secret(path, size_bytes, make)
    if await keeper.keep(_fingerprint_name(name), _fingerprint(secret)) != _fingerprint(secret):
        raise CannotStartError(
            f"{path} is not that of the fleet that uses this database",
            "move the file away, or name another database",
        )
    return secret


async def _from_keeper(keeper: Keeper, name: str, proposed: str) -> str | None:
    """The secret in the database, which is the proposed one for the first process. None: only files have it."""
    if await keeper.kept(_fingerprint_name(name)) is not None:
        return await keeper.kept(name)
    return await keeper.keep(name, proposed)


def _fingerprint_name(name: str) -> str:
    return f"{name}.sha256"


def _fingerprint(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
