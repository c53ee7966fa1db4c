"""The data folder of a node, for commands that work on it themselves if no node answers.

If the settings name a PostgreSQL database, the folder holds the secrets only, and the commands work on the database.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from node.cli.input.embedded import store_url
from node.cli.output.failures import CommandError, Exit, usage
from node.cli.output.screen import warn

if TYPE_CHECKING:
    from node.client.http import NodeClient
    from node.store.contract import Store

_T = TypeVar("_T")


def check_folder(data: Path) -> None:
    """Raises: CommandError: this is no data folder of a node, or the records are elsewhere."""
    is_folder = (data / "dnarc.db").exists() or (data.is_dir() and store_url() is not None)
    if not is_folder and (data / "node.key").exists():
        raise usage(f"{data} holds no records", "if they are in PostgreSQL, name the database: DNARC_STORE=URL")
    if not is_folder:
        raise usage(f"{data} is no data folder of a node", "`dnarc serve --data DIR` makes one at its first start")


def name_of_store(data: Path) -> str:
    """Where the records are: the folder, or the URL of the database without a password."""
    from node.passwords import hidden

    url = store_url()
    return str(data) if url is None else hidden(url)


def ask_node(
    client: "NodeClient",
    data: Path | None,
    method: str,
    path: str,
    query: dict[str, str] | None = None,
    body: bytes | None = None,
) -> Any:
    """The answer of the node. None: no node answers, and the caller can work on the store of the folder `data` instead.

    Raises:
        NodeError: the node refused the request.
        Unreachable: no node answers, and `data` is None.
        CommandError: no node answers, and the folder has no store.
    """
    from node.client.errors import Unreachable

    try:
        client.get_node()  # first, because its errors tell what answers in the place of a node
        return client.ask(method, path, query, body).value()
    except Unreachable:
        if data is None:
            raise
    check_folder(data)
    warn(f"no node answers at {client.url}, so this command works on {name_of_store(data)} itself")
    return None


@contextmanager
def held(data: Path) -> Iterator[None]:
    """Keep nodes out of the folder while the block runs. Raises: CommandError: a node runs on it."""
    from node.disk import FolderInUseError, LocalDisk

    try:
        with LocalDisk().held(data):
            yield
    except FolderInUseError as error:
        raise CommandError(Exit.MACHINE, "in_use", str(error), error.remedy) from error


def work_in_store(data: Path, work: "Callable[[Store], Awaitable[_T]]") -> _T:
    """Open the store of the folder, and work on it. Unless the folder is `held`, a node may run on it meanwhile.

    Raises:
        StoreError: the store cannot be used; or it is a database, and a node writes to it.
    """
    import asyncio  # here, because most commands that name a folder need no event loop
    import secrets

    from node.disk import LocalDisk

    async def open_and_work() -> _T:
        store = await LocalDisk().open_store(data, secrets.token_bytes, store_url())
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(open_and_work())
