"""A store on a PostgreSQL server, by way of asyncpg: for who outgrows one machine.

`schema` says what is kept, `writing` and `reading` hold the statements, `session` opens connections and finds out what
went wrong with one, `writership` lets one process write at a time, and `store` is the face that the node sees. The rows
are those of the embedded store (`node.store.rows`).
"""

from node.store.postgresql.store import PostgresStore

__all__ = ["PostgresStore"]
