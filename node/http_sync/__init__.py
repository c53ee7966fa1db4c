"""Sync with peers over plain HTTP.

`schedule` decides when a run starts, `run` does one run, `transfer` carries the records of one domain, and `peer` makes
the requests. `answers` and `body` check what the peer answers.
"""
