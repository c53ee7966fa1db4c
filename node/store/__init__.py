"""Storage: `contract` says what a node asks of a store, and `removals` what an operator removes from it.

There are two stores: `sqlite` keeps a file in the data folder, `postgresql` keeps tables on a server. `rows` and
`testimony_rows` are the columns that both have. `moving` and `inspection` say what a move and `dnarc doctor` ask of a
store. `recent_records` keeps in memory what peers are likely to ask for, and `outage` says that a server is away.
"""
