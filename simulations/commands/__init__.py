"""The commands of `dnarc simulate`, each module with those of one kind of simulation."""
