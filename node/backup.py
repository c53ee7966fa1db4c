"""Backup: a copy of a data folder, made while the node runs, that a node can start on.

The copy holds the store as it is at one moment, and the admin token. It also holds the node's key, because peers would
refuse the node with another key. The folder gets its name last, so that no crash leaves half a backup under that name.
"""

import secrets
import shlex
import shutil
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from node.durable_files import give_name, write_secret
from node.store.contract import StoreError
from node.store.sqlite.copying import copy

SECRETS: Final = ("node.key", "admin-token")


def dump_command(url: str, target: str) -> str:
    """The command for a shell that copies a PostgreSQL database. It holds no password.

    The URL may have the setting `search_path`, which the driver of the node takes and libpq does not.
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    query.pop("password", None)
    schema = query.pop("search_path", None)
    user, _, place = parts.netloc.rpartition("@")
    netloc = f"{user.partition(':')[0]}@{place}" if user else place
    bare = f"{parts.scheme}://{netloc}{parts.path}" + (f"?{urlencode(query, safe='/')}" if query else "")
    only = [] if schema is None else [f"--schema={schema.partition(',')[0]}"]
    return shlex.join(["pg_dump", "--format=custom", f"--file={target}", *only, bare])


def back_up(data: Path, target: Path) -> int:
    """Copy the data folder to a new folder that only its owner may enter. Returns the number of records.

    Raises:
        StoreError: `data` has no store or a damaged one, or `target` exists already.
        OSError: `target` cannot be written.
    """
    if not (data / "dnarc.db").exists():
        raise StoreError(f"{data} is no data folder of a node", "name it by --data DIR")
    if target.exists():
        raise StoreError(f"{target} exists already, and a backup replaces nothing", "name a new folder")
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    draft.mkdir(mode=0o700, parents=True)
    try:
        records = copy(data / "dnarc.db", draft / "dnarc.db")
        for name in SECRETS:
            if (data / name).exists():
                write_secret(draft / name, (data / name).read_bytes())
        give_name(draft, target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return records
