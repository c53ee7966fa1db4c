"""The embedded store: some commands work on its file, and say what to do instead where the records are elsewhere."""

import os

from node.cli.output.failures import usage


def check_embedded(instead: str) -> None:
    """Raises: CommandError: the settings name a PostgreSQL database. `instead` is what to do then; `{url}` in it is the
    URL of the database, without a password.
    """
    from pathlib import Path

    from node.passwords import hidden
    from node.settings.loading import load

    file = os.environ.get("DNARC_CONFIG")
    store = load(Path(file) if file else None, os.environ, {}).settings.store
    if store is not None:
        url = hidden(store)
        raise usage(f"the records are in {url}, and this command works on dnarc.db", instead.format(url=url))
