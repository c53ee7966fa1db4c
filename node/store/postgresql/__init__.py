"""A store on a PostgreSQL server, by way of asyncpg: for operators who outgrow one machine.

`schema` says what is kept, `writing` and `reading` hold the statements, `session` opens connections and finds out what
went wrong with one, and `attention` notices that a server is silent. `readers` share a few sessions, and `head_batches`
reads heads together. `writership` lets one process write at a time, by a `writer_session`, `lookout` shows the others
what it has written, and `store` is the face that the node sees. The rows are those of the embedded store
(`node.store.rows`).
"""

from node.store.postgresql.lookout import Lookout, Sight
from node.store.postgresql.session import SILENCE, Silence
from node.store.postgresql.store import PostgresStore
from node.store.postgresql.writer_session import WriterSession
from node.store.postgresql.writership import Candidacy
from node.store.postgresql.writing import Position

__all__ = ["SILENCE", "Candidacy", "Lookout", "Position", "PostgresStore", "Sight", "Silence", "WriterSession"]
