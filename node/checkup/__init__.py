"""Checkup: what `dnarc doctor` looks at, each part of it a function from facts to findings.

`finding` says what a finding is; `machine`, `exposure`, `folder`, `running` and `neighbours` look at what runs a node,
at settings that strangers can use, at the data folder, at the node while it runs, and at its peers. Nothing here
changes anything, and nothing here raises because of what it finds.
"""
