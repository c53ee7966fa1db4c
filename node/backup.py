"""A backup: a folder that is a data folder, ready to be started, made beside a node that goes on.

The store is copied as it is at one moment; the node's key goes with it, as peers would refuse the node without it, and
the admin token. The folder gets its name last, so that there is never half a backup under it.
"""

import os
import secrets
import shutil
from pathlib import Path
from typing import Final

from node.store.contract import StoreError
from node.store.sqlite.copying import copy

SECRETS: Final = ("node.key", "admin-token")


def back_up(data: Path, target: Path) -> int:
    """Copy the data folder to a new one, which only its owner may enter; returns the number of records.

    Raises:
        StoreError: there is no store there, it is damaged, or the target is there already.
        OSError: the target cannot be written.
    """
    if not (data / "dnarc.db").exists():
        raise StoreError(f"{data} is no data folder of a node")
    if target.exists():
        raise StoreError(f"{target} is there already, and a backup replaces nothing: name a new folder")
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    draft.mkdir(mode=0o700, parents=True)
    try:
        records = copy(data / "dnarc.db", draft / "dnarc.db")
        for name in SECRETS:
            if (data / name).exists():
                _copy_secret(data / name, draft / name)
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return records


def _copy_secret(source: Path, target: Path) -> None:
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(source.read_bytes())
        file.flush()
        os.fsync(file.fileno())
