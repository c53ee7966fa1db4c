"""The embedded store: one SQLite file, by way of aiosqlite.

SQL stands in here and nowhere else, so that another store can take this one's place. `schema` says what is kept,
`rows` how our values become columns, `writing` and `reading` are plain functions over a `sqlite3` connection,
`connection` runs each of them whole in a thread that owns one, and `store` is the face that the node sees.
"""

from node.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
