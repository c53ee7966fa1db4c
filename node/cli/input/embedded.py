"""The embedded store: whether the records of a node are in its folder, or in a PostgreSQL database.

Some commands work on the file in the folder only. If the settings name a database, they say what to do instead.
"""

import os
from pathlib import Path

from node.cli.output.failures import usage


def store_url() -> str | None:
    """The database that the settings of a node name (`DNARC_STORE`, or the file of `DNARC_CONFIG`). None: no database.

    Raises:
        SettingsError: a setting is wrong.
    """
    from node.settings.loading import load

    file = os.environ.get("DNARC_CONFIG")
    return load(Path(file) if file else None, os.environ, {}).settings.store


def check_embedded(instead: str) -> None:
    """Raises: CommandError: the settings name a PostgreSQL database. `instead` is what to do then; `{url}` in it is the
    URL of the database, without a password.
    """
    from node.passwords import hidden

    store = store_url()
    if store is not None:
        url = hidden(store)
        raise usage(f"the records are in {url}, and this command works on dnarc.db", instead.format(url=url))
