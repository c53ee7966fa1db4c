"""Taking records down on this node: erasing bodies, and dropping whole domains."""
