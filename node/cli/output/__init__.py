"""The output of commands: JSON for programs, and text, tables, progress bars and errors for people."""
