"""Checkup: what `dnarc doctor` looks at. Each check is a function from facts to findings.

`finding` says what a finding is. `machine`, `exposure`, `folder`, `running` and `neighbours` look at the machine, at
settings that strangers can use, at the data folder, at the running node, and at its peers. `examination` decides which
checks can be made. No check changes anything, and no check raises an error because of what it finds.
"""
