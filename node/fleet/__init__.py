"""A fleet: several processes on one database, which are one node to the outside.

One of them writes. The others follow: they answer every read, and pass on what has to be written. If the writer ends,
one of them takes its place. `member` changes the role of a process, `following` keeps the memory of a process that
follows in step with the database, `relay` passes requests on, and `passport` says whose they are.
"""
