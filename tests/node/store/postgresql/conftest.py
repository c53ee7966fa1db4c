"""The fixtures of `tests.postgres`."""

from tests.postgres import database_url, schema_url, server

__all__ = ["database_url", "schema_url", "server"]
