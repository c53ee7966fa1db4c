"""The commands of `dnarc`: one module for each group of commands."""
